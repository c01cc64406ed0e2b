//! Memory at cache lines for arrays, by NumPy's way to have it from elsewhere (M. Picus, *NEP 49: Data allocation
//! strategies*, 2021): an array remembers whose memory it has, and gives it back to them.

#[cfg(not(unix))]
pub(crate) use elsewhere::begin;
#[cfg(unix)]
pub(crate) use unix::begin;

#[cfg(unix)]
mod unix {
    use std::ffi::{CStr, c_char, c_void};
    use std::ptr::{self, NonNull};

    use pyo3::exceptions::PyRuntimeError;
    use pyo3::ffi::{PyCapsule_New, PyObject};
    use pyo3::prelude::*;
    use pyo3::sync::PyOnceLock;
    use pyo3::types::PyCapsule;

    /// Bytes of a cache line.
    const LINE: usize = 64;

    /// Bytes from which on the system is asked for huge pages, as by NumPy, ...
    #[cfg(target_os = "linux")]
    const HUGE: usize = 4 << 20;

    /// ... from the first whole page on.
    #[cfg(target_os = "linux")]
    const PAGE: usize = 4096;

    /// NumPy's `PyDataMem_Handler`.
    #[repr(C)]
    struct Handler {
        name: [c_char; 127],
        version: u8,
        allocator: Allocator,
    }

    /// NumPy's `PyDataMemAllocator`.
    #[repr(C)]
    struct Allocator {
        context: *mut c_void,
        malloc: extern "C" fn(*mut c_void, usize) -> *mut c_void,
        calloc: extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
        realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
        free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
    }

    // SAFETY: it is only read, and the context, which is null, by nobody.
    unsafe impl Sync for Handler {}

    static HANDLER: Handler = Handler {
        name: name(b"threadwise"),
        version: 1,
        allocator: Allocator { context: ptr::null_mut(), malloc, calloc, realloc, free },
    };

    const fn name(letters: &[u8]) -> [c_char; 127] {
        let mut name = [0; 127];
        let mut i = 0;
        while i < letters.len() {
            name[i] = letters[i].cast_signed();
            i += 1;
        }
        name
    }

    extern "C" fn malloc(_: *mut c_void, size: usize) -> *mut c_void {
        let mut memory = ptr::null_mut();
        // SAFETY: a place for the address.
        if unsafe { libc::posix_memalign(&raw mut memory, LINE, size.max(1)) } != 0 {
            return ptr::null_mut();
        }
        #[cfg(target_os = "linux")]
        if size >= HUGE {
            let before = memory.addr().wrapping_neg() % PAGE;
            let from = memory.wrapping_byte_add(before);
            // SAFETY: advice about pages of this memory, which leaves what is in them.
            let _ = unsafe { libc::madvise(from, size - before, libc::MADV_HUGEPAGE) };
        }
        memory
    }

    extern "C" fn calloc(_: *mut c_void, count: usize, size: usize) -> *mut c_void {
        // SAFETY: any sizes will do.
        unsafe { libc::calloc(count.max(1), size.max(1)) }
    }

    /// # Safety
    ///
    /// The memory is from here.
    unsafe extern "C" fn realloc(_: *mut c_void, memory: *mut c_void, size: usize) -> *mut c_void {
        // SAFETY: it is the C library's, as all from here is.
        unsafe { libc::realloc(memory, size.max(1)) }
    }

    /// # Safety
    ///
    /// As [`realloc`].
    unsafe extern "C" fn free(_: *mut c_void, memory: *mut c_void, _: usize) {
        // SAFETY: likewise.
        unsafe { libc::free(memory) }
    }

    /// `PyDataMem_SetHandler`: sets this thread's handler, and returns a reference to the one before, or null and
    /// an exception.
    type SetHandler = unsafe extern "C" fn(*mut PyObject) -> *mut PyObject;

    /// What is asked for once.
    struct Numpy {
        set: SetHandler,
        /// NumPy's own handler, which is never freed.
        default: NonNull<PyObject>,
        ours: Py<PyAny>,
    }

    // SAFETY: the pointers are to a function and to an object that are the same for all threads, and outlive them.
    unsafe impl Send for Numpy {}
    // SAFETY: likewise.
    unsafe impl Sync for Numpy {}

    impl Numpy {
        fn find(py: Python<'_>) -> PyResult<Self> {
            const NAME: &CStr = c"mem_handler";
            /// Places in NumPy's table of its interface in C, since version 1.22.
            const SET_HANDLER: usize = 304;
            const DEFAULT_HANDLER: usize = 306;
            let module = match py.import("numpy._core._multiarray_umath") {
                Ok(module) => module,
                // Before version 2.
                Err(_) => py.import("numpy.core._multiarray_umath")?,
            };
            let table = module.getattr("_ARRAY_API")?.cast_into::<PyCapsule>()?;
            let table = table.pointer_checked(None)?;
            // SAFETY: the table has this place, and is never freed.
            let set = unsafe { table.cast::<SetHandler>().add(SET_HANDLER) };
            // SAFETY: it holds a function of this type.
            let set = unsafe { set.read() };
            // SAFETY: as above.
            let default = unsafe { table.cast::<*mut *mut PyObject>().add(DEFAULT_HANDLER) };
            // SAFETY: this place holds the address of a variable, ...
            let default = unsafe { default.read() };
            // SAFETY: ... which is set when NumPy is imported.
            let default = unsafe { default.read() };
            let default = NonNull::new(default)
                .ok_or_else(|| PyRuntimeError::new_err("NumPy has no memory handler"))?;
            let handler = (&raw const HANDLER).cast_mut().cast::<c_void>();
            // SAFETY: both live as long as the process; there is nothing to do when the capsule ends.
            let ours = unsafe { PyCapsule_New(handler, NAME.as_ptr(), None) };
            // SAFETY: a new reference, or null and an exception.
            let ours = unsafe { Bound::from_owned_ptr_or_err(py, ours) }?.unbind();
            Ok(Self { set, default, ours })
        }
    }

    /// While it lives, this thread's new arrays have memory at cache lines.
    pub(crate) struct AtLines<'py> {
        py: Python<'py>,
        set: SetHandler,
        before: Bound<'py, PyAny>,
    }

    /// From now on, this thread's new arrays have memory at cache lines, unless somebody has chosen other memory.
    pub(crate) fn begin(py: Python<'_>) -> PyResult<Option<AtLines<'_>>> {
        static NUMPY: PyOnceLock<Numpy> = PyOnceLock::new();
        let Numpy { set, default, ours } = NUMPY.get_or_try_init(py, || Numpy::find(py))?;
        // SAFETY: a capsule of a handler, which lives as long as the process.
        let before = unsafe { set(ours.as_ptr()) };
        // SAFETY: a new reference, or null and an exception.
        let before = unsafe { Bound::from_owned_ptr_or_err(py, before) }?;
        let is_default = before.as_ptr() == default.as_ptr();
        let at_lines = AtLines { py, set: *set, before };
        Ok(is_default.then_some(at_lines))
    }

    impl Drop for AtLines<'_> {
        fn drop(&mut self) {
            // SAFETY: the handler that was set before.
            let ours = unsafe { (self.set)(self.before.as_ptr()) };
            // SAFETY: a new reference, or null and an exception: then the handler is still ours, and no worse
            // than NumPy's.
            drop(unsafe { Bound::from_owned_ptr_or_err(self.py, ours) });
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use pyo3::prelude::*;

    /// There, the C library that frees memory may be another one than that which gave it.
    pub(crate) fn begin(_: Python<'_>) -> PyResult<Option<()>> {
        Ok(None)
    }
}
