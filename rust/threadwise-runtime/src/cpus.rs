//! Sets of CPUs, by the numbers that the system gives them.

use std::fmt;
use std::str::FromStr;

const BITS: usize = u64::BITS as usize;

/// A set of CPUs. It has room for as many as a mask of the C library; what lies beyond is not in it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CpuSet([u64; CpuSet::MOST / BITS]);

/// A text is no list of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadList;

impl CpuSet {
    /// CPUs that a set has room for.
    pub const MOST: usize = 1024;

    /// Whether the CPU is in the set.
    #[must_use]
    pub fn contains(&self, cpu: usize) -> bool {
        cpu < Self::MOST && self.0[cpu / BITS] >> (cpu % BITS) & 1 == 1
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..Self::MOST).filter(|&cpu| self.contains(cpu))
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn intersection(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
        self
    }

    /// Those that are in either set.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        self
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        let mut set = Self::default();
        for cpu in cpus.into_iter().filter(|&cpu| cpu < Self::MOST) {
            set.0[cpu / BITS] |= 1 << (cpu % BITS);
        }
        set
    }
}

/// As Linux writes it: "0-3,8-11", and nothing for no CPU.
impl FromStr for CpuSet {
    type Err = BadList;

    fn from_str(list: &str) -> Result<Self, BadList> {
        let number = |word: &str| word.trim().parse::<usize>().map_err(|_| BadList);
        let mut set = Self::default();
        for range in list.trim().split(',').filter(|_| !list.trim().is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(BadList);
            }
            set = set.union(&(first..=last.min(Self::MOST)).collect());
        }
        Ok(set)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for first in self.iter().filter(|&cpu| cpu == 0 || !self.contains(cpu - 1)) {
            let last =
                (first..Self::MOST).take_while(|&cpu| self.contains(cpu)).last().unwrap_or(first);
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_as_linux_writes_them() {
        for (list, count) in [("", 0), ("0", 1), ("0-3,8-11", 8), ("63-64,127,1023", 4)] {
            let set: CpuSet = list.parse().unwrap();
            assert_eq!((set.to_string().as_str(), set.len()), (list, count), "{list}");
            assert_eq!(format!("{list}\n").parse(), Ok(set), "with the end of its line");
            assert_eq!(set.iter().collect::<CpuSet>(), set, "by its members");
            assert_eq!(set.is_empty(), count == 0, "{list}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for list in ["a", "3-1", "-1", "1-", "0,,2", "0-3-5", "1.5", "0x1"] {
            assert_eq!(list.parse::<CpuSet>(), Err(BadList), "{list}");
        }
    }

    #[test]
    fn cpus_beyond_the_room_are_in_no_set() {
        let set: CpuSet = "1020-4000000000".parse().unwrap();
        assert_eq!(set.to_string(), "1020-1023", "as many as there is room for");
        assert!(!set.contains(1024), "beyond");
    }

    #[test]
    fn sets_meet_and_join() {
        let [left, right]: [CpuSet; 2] = ["0-5,70", "4-8,70"].map(|list| list.parse().unwrap());
        assert_eq!(left.intersection(&right).to_string(), "4-5,70", "in both");
        assert_eq!(left.union(&right).to_string(), "0-8,70", "in either");
    }
}
