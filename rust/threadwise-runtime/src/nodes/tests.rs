//! Recorded machines: what is read of them, and who is put where.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const ONE: &str = include_str!("../../tests/trees/one.txt");
const TWO: &str = include_str!("../../tests/trees/two.txt");
const EIGHT: &str = include_str!("../../tests/trees/eight.txt");
const SPARSE: &str = include_str!("../../tests/trees/sparse.txt");

/// A directory with the files of a record, one a line: its path, a colon, its text. Removed when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(record: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = format!("threadwise-nodes-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(root);
        fs::create_dir_all(&root).unwrap();
        for line in record.lines().filter(|line| !line.starts_with('#')) {
            let (path, text) = line.split_once(':').unwrap();
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{}\n", text.trim())).unwrap();
        }
        Self(root)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set(list: &str) -> CpuSet {
    list.parse().unwrap()
}

fn nodes(record: &str, mask: &str) -> Nodes {
    Nodes::read(&Tree::new(record).0).within(&set(mask))
}

/// Number and CPUs of each node.
fn found(nodes: &Nodes) -> Vec<(usize, String)> {
    nodes.nodes.iter().map(|node| (node.number, node.cpus.to_string())).collect()
}

fn pairs(expected: &[(usize, &str)]) -> Vec<(usize, String)> {
    expected.iter().map(|&(number, cpus)| (number, cpus.to_owned())).collect()
}

fn hint(policy: Policy, pin: bool) -> Hint {
    Hint { policy, pin }
}

fn assigned(nodes: &Nodes, hint: Hint, here: usize, threads: usize) -> Vec<String> {
    let sets = assign(nodes, hint, Some(here), threads).unwrap();
    sets.iter().map(CpuSet::to_string).collect()
}

const LOCAL: Policy = Policy::Local(None);
const INTERLEAVED: Policy = Policy::Interleaved;
const ALL: &str = "0-1023";

#[test]
fn nodes_are_those_with_cpus_that_are_switched_on_and_allowed() {
    assert_eq!(found(&nodes(ONE, ALL)), pairs(&[(0, "0-7")]), "a desktop");
    let two = [(0, "0-3,8-11"), (1, "4-7,12,14-15")];
    assert_eq!(found(&nodes(TWO, ALL)), pairs(&two), "not the memory expander");
    assert_eq!(found(&nodes(TWO, "2-5,13")), pairs(&[(0, "2-3"), (1, "4-5")]), "a mask cuts both");
    assert_eq!(found(&nodes(TWO, "5-6")), pairs(&[(1, "5-6")]), "a mask leaves one");
    assert_eq!(nodes(EIGHT, ALL).numbers(), [0, 1, 2, 3, 4, 5, 6, 7], "also without memory");
    let sparse = [(0, "0-1,4-5"), (8, "8-9,12-13")];
    assert_eq!(found(&nodes(SPARSE, ALL)), pairs(&sparse), "numbers have gaps");
}

#[test]
fn a_cpu_is_not_used_although_its_node_lists_it_if_it_is_switched_off() {
    let record = "cpu/online: 0-1,3\nnode/node0/cpulist: 0-1\nnode/node1/cpulist: 2-3";
    assert_eq!(found(&nodes(record, ALL)), pairs(&[(0, "0-1"), (1, "3")]), "2 is off");
}

#[test]
fn what_cannot_be_read_is_passed_over() {
    let all = [(0, "0-3".to_owned())];
    for record in ["", "cpu/online: 0-3", "node/node0/cpulist: some", "node/nodes/cpulist: 0-3"] {
        assert_eq!(found(&nodes(record, "0-3")), all, "one node: {record}");
    }
    let record = "node/node0/cpulist: 0-1\nnode/node1/cpulist: 3-2\nnode/node2/distance: 10\n\
                  node/node3/cpulist: 4-5\nnode/node3/distance: near far\ncpu/online: all\n\
                  cpu/cpu0/topology/core_cpus_list: -\ncpu/cpu4/topology/core_cpus_list: 7-9";
    let nodes = nodes(record, ALL);
    assert_eq!(found(&nodes), pairs(&[(0, "0-1"), (3, "4-5")]), "two of four make sense");
    assert_eq!(assigned(&nodes, hint(LOCAL, true), 4, 4), ["4", "5", "0", "1"], "by number");
}

#[test]
fn distances_belong_to_nodes_in_the_order_of_their_numbers() {
    let nodes = nodes(SPARSE, ALL);
    let [first, second] = &nodes.nodes[..] else { panic!("two nodes: {nodes:?}") };
    assert_eq!((first.distance(second), first.distance(first)), (40, 10), "not 80");
}

#[test]
fn local_workers_fill_their_node_and_then_the_nearest() {
    let eight = nodes(EIGHT, ALL);
    let sets = assigned(&eight, hint(LOCAL, false), 20, 64);
    let place =
        |node: usize| format!("{}-{},{}-{}", 4 * node, 4 * node + 3, 4 * node + 32, 4 * node + 35);
    let mut expected = vec![place(5); 8];
    for node in [4, 6, 7, 0, 1, 2, 3] {
        expected.extend(vec![place(node); 8]);
    }
    assert_eq!(sets, expected, "the caller's socket before the other one");
    let sets = assigned(&eight, hint(Policy::Local(Some(2)), false), 20, 4);
    assert_eq!(sets, [place(5), place(2), place(2), place(2)], "the caller stays where it is");
}

#[test]
fn pinned_workers_have_cores_of_their_own_while_there_are_any() {
    let one = nodes(ONE, ALL);
    let sets = assigned(&one, hint(LOCAL, true), 2, 10);
    assert_eq!(sets, ["2", "0", "4", "6", "1", "3", "5", "7", "2", "0"], "then their siblings");
    let two = nodes(TWO, ALL);
    let sets = assigned(&two, hint(LOCAL, true), 5, 8);
    assert_eq!(sets, ["5", "4", "6", "7", "12", "14", "15", "0"], "5 has no sibling: 13 is off");
    let cut = nodes(TWO, "8-11,0,12");
    let sets = assigned(&cut, hint(LOCAL, true), 8, 6);
    assert_eq!(sets, ["8", "0", "9", "10", "11", "12"], "0 and 8 share a core");
}

#[test]
fn interleaved_workers_are_spread_evenly_and_in_the_order_of_nodes() {
    let two = nodes(TWO, ALL);
    let sets = assigned(&two, hint(INTERLEAVED, false), 6, 4);
    let (first, second) = ("0-3,8-11", "4-7,12,14-15");
    assert_eq!(sets, [second, second, first, first], "from the caller's on");
    assert_eq!(assigned(&two, hint(INTERLEAVED, true), 6, 5), ["6", "4", "5", "0", "1"], "pinned");
    let eight = nodes(EIGHT, ALL);
    let sets = assigned(&eight, hint(INTERLEAVED, true), 9, 8);
    assert_eq!(sets, ["9", "12", "16", "20", "24", "28", "0", "4"], "one a node");
    let sets = assigned(&eight, hint(INTERLEAVED, true), 9, 3);
    assert_eq!(sets, ["9", "12", "16"], "fewer threads than nodes");
}

#[test]
fn interleaving_gives_a_node_no_second_thread_a_cpu_while_another_has_room() {
    let cut = nodes(TWO, "0,4-7");
    let sets = assigned(&cut, hint(INTERLEAVED, false), 0, 5);
    assert_eq!(sets, ["0", "4-7", "4-7", "4-7", "4-7"], "node 0 has one CPU");
    let sets = assigned(&cut, hint(INTERLEAVED, false), 0, 10);
    assert_eq!(sets.iter().filter(|set| *set == "0").count(), 2, "two threads a CPU");
}

#[test]
fn whatever_is_asked_each_thread_has_allowed_cpus_and_cpus_share_the_threads() {
    for (record, mask) in [
        (ONE, ALL),
        (TWO, ALL),
        (TWO, "3-4"),
        (EIGHT, ALL),
        (EIGHT, "0-5,33,60"),
        (SPARSE, "1,8-13"),
    ] {
        let nodes = nodes(record, mask);
        let cpus: Vec<usize> = nodes.nodes.iter().flat_map(|node| node.cpus.iter()).collect();
        let policies = [LOCAL, INTERLEAVED, Policy::Local(nodes.numbers().last().copied())];
        for (policy, here) in policies.into_iter().flat_map(|p| cpus.iter().map(move |&c| (p, c))) {
            for threads in [1, 2, cpus.len(), cpus.len() + 1, 3 * cpus.len()] {
                let at = format!("{policy:?} from {here}, {threads} threads within {mask}");
                let free = assign(&nodes, hint(policy, false), Some(here), threads).unwrap();
                let pinned = assign(&nodes, hint(policy, true), Some(here), threads).unwrap();
                assert_eq!((free.len(), pinned.len()), (threads, threads), "{at}");
                assert!(pinned[0].contains(here), "the caller stays: {at}");
                let mut uses = vec![0; CpuSet::MOST];
                for (free, pinned) in free.iter().zip(&pinned) {
                    let cpu = pinned.iter().next().unwrap();
                    assert_eq!((pinned.len(), free.contains(cpu)), (1, true), "{at}");
                    assert_eq!(free, &nodes.nodes[nodes.of(cpu).unwrap()].cpus, "a node: {at}");
                    uses[cpu] += 1;
                }
                let most = cpus.iter().map(|&cpu| uses[cpu]).max().unwrap();
                assert!(most <= threads.div_ceil(cpus.len()), "{most} on one CPU: {at}");
            }
        }
    }
}

#[test]
fn a_node_without_allowed_cpus_is_refused_with_those_that_have_some() {
    let refused = |nodes: &Nodes, node: usize| {
        let hint = hint(Policy::Local(Some(node)), false);
        assign(nodes, hint, None, 4).unwrap_err().to_string()
    };
    let expected = "expected a memory node with CPUs for this process";
    assert_eq!(refused(&nodes(TWO, ALL), 2), format!("node is 2, {expected}: 0, 1"), "no CPUs");
    assert_eq!(refused(&nodes(TWO, "4-5"), 0), format!("node is 0, {expected}: 1"), "the mask");
    assert_eq!(refused(&nodes(SPARSE, ALL), 1), format!("node is 1, {expected}: 0, 8"), "no node");
}

#[test]
fn an_unknown_caller_is_on_the_first_node() {
    let sets = assign(&nodes(TWO, ALL), hint(LOCAL, true), None, 3).unwrap();
    assert_eq!(sets, ["0", "1", "2"].map(set), "from the first CPU on");
    let sets = assign(&nodes(TWO, "4-7"), hint(INTERLEAVED, true), Some(0), 2).unwrap();
    assert_eq!(sets, ["4", "5"].map(set), "as is one from outside of the mask");
}

#[test]
fn this_machine_has_a_node_for_each_allowed_cpu() {
    let nodes = Nodes::current();
    assert!(!nodes.numbers().is_empty(), "at least one node");
    if let (Some(cpu), Some(allowed)) = (topology::cpu(), topology::allowed()) {
        assert!(nodes.of(cpu).is_some(), "the test runs on one: {nodes:?}");
        let cpus = nodes.nodes.iter().fold(CpuSet::default(), |all, node| all.union(&node.cpus));
        assert_eq!(cpus, allowed, "no more and no fewer");
    }
    for policy in [LOCAL, INTERLEAVED] {
        let places = places(hint(policy, false), 3).unwrap();
        assert_eq!(
            places.map(|sets| sets.len()),
            (nodes.numbers().len() > 1).then_some(3),
            "{policy:?}"
        );
    }
    assert!(places(hint(Policy::Local(Some(9999)), false), 3).is_err(), "no such node");
}
