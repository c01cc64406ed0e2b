//! Memory nodes: which CPUs each has, how far they are from one another, and which CPUs share a core;
//! as Linux tells it below `/sys/devices/system`.
//!
//! A node counts here if it has a CPU that this process may run on. Memory without CPUs has nobody to
//! touch it first; a node without memory is given some of its neighbors' by the system. Where nothing
//! can be read, the machine is one node, number 0, with all CPUs.

mod assign;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use once_cell::race::OnceBox;

use crate::cpus::CpuSet;
use crate::topology;

pub use assign::{Hint, NoCpus, Policy, assign};

/// What Linux calls the distance from a node to itself.
const HERE: u32 = 10;

/// The distance to another node, where it does not say.
const AWAY: u32 = 20;

/// A memory node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    number: usize,
    cpus: CpuSet,
    /// Its CPUs, a first one of each core before any second one.
    order: Vec<usize>,
    /// To each node, by number.
    distances: Vec<(usize, u32)>,
}

/// The memory nodes of a machine, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    nodes: Vec<Node>,
    /// CPUs of one core, for each core that has several.
    cores: Vec<CpuSet>,
}

impl Nodes {
    /// Reads the tree at `root`, `/sys/devices/system` or what looks like it.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let list = |path: &str| -> Option<CpuSet> {
            fs::read_to_string(root.join(path)).ok()?.parse().ok()
        };
        let online = list("cpu/online");
        let numbers = numbers(&root.join("node"));
        let mut all = CpuSet::default();
        let mut nodes = Vec::with_capacity(numbers.len());
        for &number in &numbers {
            let cpus = list(&format!("node/node{number}/cpulist")).unwrap_or_default();
            let cpus = online.map_or(cpus, |online| cpus.intersection(&online));
            all = all.union(&cpus);
            let distances = fs::read_to_string(root.join(format!("node/node{number}/distance")));
            let distances = distances_to(&numbers, &distances.unwrap_or_default());
            nodes.push(Node { number, cpus, order: Vec::new(), distances });
        }
        let siblings = |cpu: usize| {
            let path = |name: &str| format!("cpu/cpu{cpu}/topology/{name}");
            // The second is what the first was called before Linux 5.
            list(&path("core_cpus_list")).or_else(|| list(&path("thread_siblings_list")))
        };
        let mut cores: Vec<CpuSet> = Vec::new();
        for cpu in all.iter() {
            if !cores.iter().any(|core| core.contains(cpu)) {
                cores.extend(siblings(cpu).filter(|core| core.contains(cpu) && core.len() > 1));
            }
        }
        Self { nodes, cores }
    }

    /// The part of the machine that a process with this mask may use, which has at least one CPU.
    #[must_use]
    pub fn within(&self, mask: &CpuSet) -> Self {
        let part = |node: &Node| Node { cpus: node.cpus.intersection(mask), ..node.clone() };
        let mut nodes: Vec<Node> =
            self.nodes.iter().map(part).filter(|node| !node.cpus.is_empty()).collect();
        if nodes.is_empty() {
            let distances = vec![(0, HERE)];
            nodes.push(Node { number: 0, cpus: *mask, order: Vec::new(), distances });
        }
        for node in &mut nodes {
            let turn = |&cpu: &usize| {
                let core = self.cores.iter().find(|core| core.contains(cpu));
                core.map_or(0, |core| {
                    core.intersection(&node.cpus).iter().take_while(|&other| other < cpu).count()
                })
            };
            node.order = node.cpus.iter().collect();
            node.order.sort_by_cached_key(turn);
        }
        Self { nodes, cores: self.cores.clone() }
    }

    /// The machine's, as far as the calling thread may use them.
    #[must_use]
    pub fn current() -> Arc<Self> {
        // Masks seldom change, and large machines take long to sort.
        static LAST: Mutex<Option<(CpuSet, Arc<Nodes>)>> = Mutex::new(None);
        let mask = topology::allowed().unwrap_or_else(|| (0..CpuSet::MOST).collect());
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, nodes)) if *known == mask => Arc::clone(nodes),
            _ => {
                let nodes = Arc::new(machine().within(&mask));
                *last = Some((mask, Arc::clone(&nodes)));
                nodes
            }
        }
    }

    /// Their numbers.
    #[must_use]
    pub fn numbers(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.number).collect()
    }

    /// The place among the nodes of the one that has this CPU.
    fn of(&self, cpu: usize) -> Option<usize> {
        self.nodes.iter().position(|node| node.cpus.contains(cpu))
    }
}

/// The whole machine, read once.
fn machine() -> &'static Nodes {
    static MACHINE: OnceBox<Nodes> = OnceBox::new();
    MACHINE.get_or_init(|| Box::new(Nodes::read(Path::new("/sys/devices/system"))))
}

/// For each thread of a call from here, the calling one first, the CPUs that it should be on; `None`
/// where there is but one node, so that there is nothing to choose.
///
/// # Errors
///
/// If the hint names a node that has no CPU for the calling thread.
pub fn places(hint: Hint, threads: usize) -> Result<Option<Vec<CpuSet>>, NoCpus> {
    if machine().nodes.len() <= 1 && hint.policy.node().is_none() {
        return Ok(None);
    }
    let nodes = Nodes::current();
    let sets = assign(&nodes, hint, topology::cpu(), threads)?;
    Ok((nodes.nodes.len() > 1).then_some(sets))
}

/// The numbers of the directories `node0`, `node1`, ... below `folder`, ascending.
fn numbers(folder: &Path) -> Vec<usize> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |name: &str| name.strip_prefix("node")?.parse().ok();
    let mut numbers: Vec<usize> =
        entries.filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    numbers.sort_unstable();
    numbers
}

/// `text` holds a distance for each node, in the order of their numbers.
fn distances_to(numbers: &[usize], text: &str) -> Vec<(usize, u32)> {
    let words: Vec<Option<u32>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    if words.len() != numbers.len() {
        return Vec::new();
    }
    numbers.iter().zip(words).filter_map(|(&number, word)| Some((number, word?))).collect()
}

impl Node {
    fn distance(&self, other: &Self) -> u32 {
        let known = self.distances.iter().find(|(number, _)| *number == other.number);
        known.map_or(if self.number == other.number { HERE } else { AWAY }, |&(_, d)| d)
    }
}
