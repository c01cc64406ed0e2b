//! Documented in `threadwise.shard`: ranks that are threads.

use numpy::{
    PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use threadwise::shard::{
    Communicator, HeadPlan, TensorParallelConfig, TensorParallelStrategy, Term, ThreadComm,
};

use crate::dtype::Number;
use crate::seam::{DTypeError, LayoutError, raise};
use crate::work::{unexpected, whole};

type Object<'py> = Bound<'py, PyAny>;

/// Bytes of an array, as `threadwise.shard` makes them.
type Bytes<'py> = Bound<'py, PyArray1<u8>>;

/// A rank of a world of threads.
#[pyclass(frozen, module = "threadwise._threadwise")]
pub(crate) struct Rank(ThreadComm);

/// All ranks of a world.
#[pyfunction]
#[pyo3(signature = (size, /))]
pub(crate) fn ranks(size: &Object<'_>) -> PyResult<Vec<Rank>> {
    let config = TensorParallelConfig::new(whole("world", size, 1)?, 0).map_err(raise)?;
    Ok(ThreadComm::world(config.world_size()).into_iter().map(Rank).collect())
}

#[pymethods]
impl Rank {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn leave(&self) {
        self.0.leave();
    }

    fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }

    fn barrier(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.barrier()).map_err(raise)
    }

    #[pyo3(signature = (buf, root, /))]
    fn broadcast(&self, py: Python<'_>, buf: &Bytes<'_>, root: &Object<'_>) -> PyResult<()> {
        let root = whole("root", root, 0)?;
        let mut bytes = buf.try_readwrite().map_err(|_| in_use("buf"))?;
        let bytes = bytes.as_slice_mut()?;
        py.detach(|| self.0.broadcast(bytes, root)).map_err(raise)
    }

    #[pyo3(signature = (buf, dest, tag, /))]
    fn send(
        &self,
        py: Python<'_>,
        buf: &Bytes<'_>,
        dest: &Object<'_>,
        tag: &Object<'_>,
    ) -> PyResult<()> {
        let (dest, tag) = (whole("dest", dest, 0)?, tag_argument(tag)?);
        let bytes = buf.try_readonly().map_err(|_| in_use("buf"))?;
        let bytes = bytes.as_slice()?;
        py.detach(|| self.0.send(bytes, dest, tag)).map_err(raise)
    }

    #[pyo3(signature = (buf, source, tag, /))]
    fn receive(
        &self,
        py: Python<'_>,
        buf: &Bytes<'_>,
        source: &Object<'_>,
        tag: &Object<'_>,
    ) -> PyResult<()> {
        let (source, tag) = (whole("source", source, 0)?, tag_argument(tag)?);
        let mut bytes = buf.try_readwrite().map_err(|_| in_use("buf"))?;
        let bytes = bytes.as_slice_mut()?;
        py.detach(|| self.0.receive(bytes, source, tag)).map_err(raise)
    }

    #[pyo3(signature = (sendbuf, recvbuf, /))]
    fn all_gather(&self, py: Python<'_>, sendbuf: &Bytes<'_>, recvbuf: &Bytes<'_>) -> PyResult<()> {
        let send = sendbuf.try_readonly().map_err(|_| in_use("sendbuf"))?;
        let mut receive = recvbuf.try_readwrite().map_err(|_| in_use("recvbuf"))?;
        let (send, receive) = (send.as_slice()?, receive.as_slice_mut()?);
        py.detach(|| self.0.all_gather(send, receive)).map_err(raise)
    }

    /// The sum of what the ranks have in `sendbuf`, or in `recvbuf` where that is none.
    #[pyo3(signature = (sendbuf, recvbuf, /))]
    fn all_reduce(
        &self,
        py: Python<'_>,
        sendbuf: Option<&Object<'_>>,
        recvbuf: &Object<'_>,
    ) -> PyResult<()> {
        if recvbuf.cast::<PyArrayDyn<f32>>().is_ok() {
            self.sum::<f32>(py, sendbuf, recvbuf)
        } else if recvbuf.cast::<PyArrayDyn<f64>>().is_ok() {
            self.sum::<f64>(py, sendbuf, recvbuf)
        } else if recvbuf.cast::<PyArrayDyn<i32>>().is_ok() {
            self.sum::<i32>(py, sendbuf, recvbuf)
        } else if recvbuf.cast::<PyArrayDyn<i64>>().is_ok() {
            self.sum::<i64>(py, sendbuf, recvbuf)
        } else {
            Err(refused("recvbuf", recvbuf, "float32, float64, int32 or int64")?)
        }
    }

    #[pyo3(signature = (color, key, /))]
    fn split(&self, py: Python<'_>, color: &Object<'_>, key: &Object<'_>) -> PyResult<Self> {
        let color = whole("color", color, 0)? as u64;
        let number = key.extract::<i64>();
        let key = number.map_err(|_| unexpected("key", key, "a whole number of 64 bits"))?;
        py.detach(|| self.0.split(color, key)).map(Self).map_err(raise)
    }
}

impl Rank {
    fn sum<T: Number + Term>(
        &self,
        py: Python<'_>,
        sendbuf: Option<&Object<'_>>,
        recvbuf: &Object<'_>,
    ) -> PyResult<()> {
        let mut receive = writable::<T>(recvbuf)?;
        let receive = receive.as_slice_mut()?;
        let Some(sendbuf) = sendbuf else {
            return py.detach(|| self.0.all_reduce_in_place(receive)).map_err(raise);
        };
        let send = readable::<T>(sendbuf)?;
        let send = send.as_slice()?;
        py.detach(|| self.0.all_reduce(send, receive)).map_err(raise)
    }
}

fn readable<'py, T: Number>(given: &Object<'py>) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    let Ok(array) = given.cast::<PyArrayDyn<T>>() else {
        return Err(refused("sendbuf", given, &format!("{}, that of recvbuf", T::NAME))?);
    };
    if !array.is_c_contiguous() || !array.is_aligned() {
        return Err(scattered("sendbuf"));
    }
    array.try_readonly().map_err(|_| in_use("sendbuf"))
}

fn writable<'py, T: Number>(given: &Object<'py>) -> PyResult<PyReadwriteArrayDyn<'py, T>> {
    let array = given.cast::<PyArrayDyn<T>>()?;
    if !array.is_c_contiguous() || !array.is_aligned() {
        return Err(scattered("recvbuf"));
    }
    array.try_readwrite().map_err(|_| in_use("recvbuf"))
}

fn refused(name: &str, given: &Object<'_>, expected: &str) -> PyResult<PyErr> {
    let what = match given.getattr("dtype") {
        Ok(dtype) => format!("has dtype {}", dtype.str()?),
        Err(_) => format!("is a {}", given.get_type().name()?),
    };
    Ok(DTypeError::new_err(format!("{name} {what}, expected an array of {expected}")))
}

fn scattered(name: &str) -> PyErr {
    LayoutError::new_err(format!(
        "{name} is not contiguous in memory, expected an array that is: pass numpy.ascontiguousarray(...)"
    ))
}

fn in_use(name: &str) -> PyErr {
    LayoutError::new_err(format!(
        "{name} is read-only, overlaps the other buffer or is in use by another call, expected an array \
         at rest: give each call its own"
    ))
}

fn tag_argument(given: &Object<'_>) -> PyResult<u32> {
    let tag = whole("tag", given, 0)?;
    u32::try_from(tag).map_err(|_| {
        raise(threadwise::Error::Count {
            name: "tag",
            actual: tag,
            expected: format!("at most {}", u32::MAX),
        })
    })
}

fn config(world_size: &Object<'_>, rank: &Object<'_>) -> PyResult<TensorParallelConfig> {
    let (world_size, rank) = (whole("world_size", world_size, 1)?, whole("rank", rank, 0)?);
    TensorParallelConfig::new(world_size, rank).map_err(raise)
}

/// A whole number that is at least 1.
#[pyfunction]
#[pyo3(signature = (name, given, /))]
pub(crate) fn count(name: &str, given: &Object<'_>) -> PyResult<usize> {
    whole(name, given, 1)
}

/// How many of `n` things come before a rank's, and how many it has.
#[pyfunction]
#[pyo3(signature = (world_size, rank, n, /))]
pub(crate) fn local_part(
    world_size: &Object<'_>,
    rank: &Object<'_>,
    n: &Object<'_>,
) -> PyResult<(usize, usize)> {
    let (config, n) = (config(world_size, rank)?, whole("n", n, 0)?);
    Ok((config.local_offset(n), config.local_size(n)))
}

/// The name of the strategy for a projection.
#[pyfunction]
#[pyo3(signature = (name, /))]
pub(crate) fn projection_strategy(name: &str) -> &'static str {
    let strategy = TensorParallelStrategy::for_projection(name);
    let named = TensorParallelStrategy::NAMED.into_iter().find(|&(_, known)| known == strategy);
    named.map_or("none", |(name, _)| name)
}

/// A rank's query heads and heads of keys and values, and of the former which share which of the latter.
type Heads = ((usize, usize), (usize, usize), Vec<(usize, usize, usize)>);

/// The heads of a rank.
#[pyfunction]
#[pyo3(signature = (heads, kv_heads, world_size, rank, /))]
pub(crate) fn head_plan(
    heads: &Object<'_>,
    kv_heads: &Object<'_>,
    world_size: &Object<'_>,
    rank: &Object<'_>,
) -> PyResult<Heads> {
    let config = config(world_size, rank)?;
    let (heads, kv_heads) = (whole("heads", heads, 1)?, whole("kv_heads", kv_heads, 1)?);
    let plan = HeadPlan::new(heads, kv_heads, &config).map_err(raise)?;
    let (query, kv) = (plan.query(), plan.kv());
    let segments = plan.segments().map(|s| (s.query.start, s.query.end, s.kv)).collect();
    Ok(((query.start, query.end), (kv.start, kv.end), segments))
}
