//! Which CPUs each thread of a call should be on.

use std::fmt;

use super::{Node, Nodes};
use crate::cpus::CpuSet;

/// On which nodes the threads of a call should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// On this node, or on the caller's; those that find no CPU there, on the nearest others.
    Local(Option<usize>),
    /// On all nodes, as many on each, neighbors in number on the same.
    Interleaved,
}

impl Policy {
    /// The node that it names.
    #[must_use]
    pub fn node(self) -> Option<usize> {
        match self {
            Self::Local(node) => node,
            Self::Interleaved => None,
        }
    }
}

/// Where the threads of a call should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hint {
    /// On which nodes.
    pub policy: Policy,
    /// Whether each is kept on one CPU, rather than on any of its node.
    pub pin: bool,
}

/// A hint names a node without CPUs that this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoCpus {
    node: usize,
    allowed: Vec<usize>,
}

impl fmt::Display for NoCpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, allowed } = self;
        let allowed: Vec<String> = allowed.iter().map(usize::to_string).collect();
        let allowed = allowed.join(", ");
        write!(f, "node is {node}, expected a memory node with CPUs for this process: {allowed}")
    }
}

impl std::error::Error for NoCpus {}

/// For each of `threads` threads, the CPUs that it should be on: the calling one first, which is on the
/// CPU `here` and is not moved, then the workers. A CPU gets its second thread when each of those that
/// the hint speaks of has one.
///
/// # Errors
///
/// If the hint names a node that is not among the nodes.
pub fn assign(
    nodes: &Nodes,
    hint: Hint,
    here: Option<usize>,
    threads: usize,
) -> Result<Vec<CpuSet>, NoCpus> {
    let here = here.filter(|&cpu| nodes.of(cpu).is_some());
    let home = here.and_then(|cpu| nodes.of(cpu)).unwrap_or(0);
    let named = hint.policy.node().map(|node| {
        let position = nodes.nodes.iter().position(|known| known.number == node);
        position.ok_or_else(|| NoCpus { node, allowed: nodes.numbers() })
    });
    let places = match hint.policy {
        Policy::Local(_) => local(nodes, named.transpose()?.unwrap_or(home), here, threads),
        Policy::Interleaved => interleaved(nodes, home, here, threads),
    };
    let set = |(node, cpu): (&Node, usize)| {
        if hint.pin { CpuSet::from_iter([cpu]) } else { node.cpus }
    };
    Ok(places.into_iter().map(set).collect())
}

type Place<'a> = (&'a Node, usize);

/// The CPUs of `home`, then those of the other nodes by distance. The caller's own comes last, because
/// the caller is there.
fn local(nodes: &Nodes, home: usize, here: Option<usize>, threads: usize) -> Vec<Place<'_>> {
    let home = &nodes.nodes[home];
    let mut near: Vec<&Node> = nodes.nodes.iter().collect();
    near.sort_by_key(|node| home.distance(node));
    let mut places: Vec<Place<'_>> =
        near.iter().flat_map(|node| node.order.iter().map(|&cpu| (*node, cpu))).collect();
    let caller = places.iter().position(|&(_, cpu)| Some(cpu) == here).unwrap_or(0);
    let caller = places.remove(caller);
    places.push(caller);
    std::iter::once(caller).chain(places.iter().copied().cycle()).take(threads).collect()
}

/// As many on each node, as far as it has CPUs, and in the order of the nodes from `home` on: what lies
/// in order is then touched in order, node by node.
fn interleaved(nodes: &Nodes, home: usize, here: Option<usize>, threads: usize) -> Vec<Place<'_>> {
    let (before, after) = nodes.nodes.split_at(home);
    let round: Vec<&Node> = after.iter().chain(before).collect();
    let mut counts = vec![0; round.len()];
    for _ in 0..threads {
        let fullness = |&i: &usize| (counts[i] / round[i].order.len(), counts[i]);
        if let Some(least) = (0..round.len()).min_by_key(fullness) {
            counts[least] += 1;
        }
    }
    let mut places = Vec::with_capacity(threads);
    for (node, count) in round.into_iter().zip(counts) {
        let mut order = node.order.clone();
        // The caller is the first of its node.
        order.sort_by_key(|&cpu| Some(cpu) != here);
        places.extend(order.into_iter().cycle().take(count).map(|cpu| (node, cpu)));
    }
    places
}
