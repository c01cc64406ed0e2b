//! What ranks can say to one another.

use bytemuck::Pod;

use crate::Error;

/// What can be sent: numbers without gaps or pointers. (Halves go as their bits, `u16`.)
pub trait Datum: Pod + Send + Sync {
    /// What people call it: NumPy's name, but for bytes.
    const NAME: &'static str;
}

/// What can be summed.
pub trait Term: Datum {
    /// The sum, which for integers wraps around.
    #[must_use]
    fn plus(self, other: Self) -> Self;
}

macro_rules! data {
    ($($number:ty, $name:literal;)*) => {
        $(impl Datum for $number {
            const NAME: &'static str = $name;
        })*
    };
}

macro_rules! terms {
    ($($number:ty, $plus:expr;)*) => {
        $(impl Term for $number {
            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }
        })*
    };
}

data! {
    f32, "float32";
    f64, "float64";
    i8, "int8";
    u8, "bytes";
    i16, "int16";
    u16, "uint16";
    i32, "int32";
    u32, "uint32";
    i64, "int64";
    u64, "uint64";
}

terms! {
    f32, std::ops::Add::add;
    f64, std::ops::Add::add;
    i32, i32::wrapping_add;
    i64, i64::wrapping_add;
}

/// A rank's connection to the others. Names and meanings are those of MPI; what one rank calls collectively,
/// all must call, in the same order.
pub trait Communicator {
    /// Which one this is.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Returns when all have called it.
    ///
    /// # Errors
    ///
    /// As of every method here: if the ranks do not call alike, if another one has failed, or if none can
    /// go on any more. What would have been received is then untouched.
    fn barrier(&self) -> Result<(), Error>;

    /// Gives everybody what is in the buffer of rank `root`.
    ///
    /// # Errors
    ///
    /// As [`Communicator::barrier`]; if `root` is no rank.
    fn broadcast<T: Datum>(&self, buffer: &mut [T], root: usize) -> Result<(), Error>;

    /// Sends to rank `dest`, and does not wait for it: the message is copied.
    ///
    /// # Errors
    ///
    /// If `dest` is no rank, or another one has failed.
    fn send<T: Datum>(&self, buffer: &[T], dest: usize, tag: u32) -> Result<(), Error>;

    /// Waits for a message of rank `source` with this tag, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`Communicator::barrier`]; if `source` is no rank, or the message has another length or type than
    /// the buffer.
    fn receive<T: Datum>(&self, buffer: &mut [T], source: usize, tag: u32) -> Result<(), Error>;

    /// `receive[i]` is the sum of all ranks' `send[i]`, added in the order of ranks: each rank gets the same
    /// bits, on every run.
    ///
    /// # Errors
    ///
    /// As [`Communicator::barrier`]; if the slices differ in length.
    fn all_reduce<T: Term>(&self, send: &[T], receive: &mut [T]) -> Result<(), Error>;

    /// [`Communicator::all_reduce`] where the terms are.
    ///
    /// # Errors
    ///
    /// As [`Communicator::barrier`].
    fn all_reduce_in_place<T: Term>(&self, buffer: &mut [T]) -> Result<(), Error>;

    /// `receive` holds all ranks' `send`, one behind the other.
    ///
    /// # Errors
    ///
    /// As [`Communicator::barrier`]; if `receive` is not `size` times as long as `send`.
    fn all_gather<T: Datum>(&self, send: &[T], receive: &mut [T]) -> Result<(), Error>;

    /// A communicator for the ranks of each color, in the order of their keys and then of their ranks here.
    ///
    /// # Errors
    ///
    /// As [`Communicator::barrier`].
    fn split(&self, color: u64, key: i64) -> Result<Self, Error>
    where
        Self: Sized;
}

/// A communicator of one rank.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelfComm;

impl Communicator for SelfComm {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn barrier(&self) -> Result<(), Error> {
        Ok(())
    }

    fn broadcast<T: Datum>(&self, _: &mut [T], root: usize) -> Result<(), Error> {
        expect_rank("root", root, 1)
    }

    /// There is nobody who could receive it later: a rank that talks to itself must have sent before.
    fn send<T: Datum>(&self, _: &[T], dest: usize, _: u32) -> Result<(), Error> {
        expect_rank("dest", dest, 0)
    }

    fn receive<T: Datum>(&self, _: &mut [T], source: usize, _: u32) -> Result<(), Error> {
        expect_rank("source", source, 0)
    }

    fn all_reduce<T: Term>(&self, send: &[T], receive: &mut [T]) -> Result<(), Error> {
        self.all_gather(send, receive)
    }

    fn all_reduce_in_place<T: Term>(&self, _: &mut [T]) -> Result<(), Error> {
        Ok(())
    }

    fn all_gather<T: Datum>(&self, send: &[T], receive: &mut [T]) -> Result<(), Error> {
        expect_length(receive.len(), send.len())?;
        receive.copy_from_slice(send);
        Ok(())
    }

    fn split(&self, _: u64, _: i64) -> Result<Self, Error> {
        Ok(Self)
    }
}

/// That `rank` is one of `size`.
pub(super) fn expect_rank(name: &'static str, rank: usize, size: usize) -> Result<(), Error> {
    if rank < size {
        return Ok(());
    }
    let expected = match size {
        0 => "another rank, and there is none".to_owned(),
        size => format!("a rank, from 0 to {}", size - 1),
    };
    Err(Error::Count { name, actual: rank, expected })
}

/// That the place for what is received is as long as that.
pub(super) fn expect_length(actual: usize, expected: usize) -> Result<(), Error> {
    if actual == expected {
        return Ok(());
    }
    let expected = format!("{expected}");
    Err(Error::Count { name: "the length of recvbuf", actual, expected })
}
