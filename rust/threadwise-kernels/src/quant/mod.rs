//! Numbers in few bits: codes, packed along a row, in groups that share a scale.

pub mod dots;
