//! Pages of files in the system's memory, and names of directories: what the standard library has no
//! words for. These are wishes; where the system does not know them, nothing happens, except that
//! [`exchange`] says so.

use std::fs::File;
use std::io;
use std::path::Path;

/// Has the system begin to write these bytes of a file to its disk, so that later there is less to wait
/// for. Whether they arrive, only `sync_all` says.
pub fn write_behind(file: &File, at: u64, bytes: u64) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let (Ok(at), Ok(bytes)) = (at.try_into(), bytes.try_into()) else { return };
        // SAFETY: the file is open, and no memory is passed.
        let _ = unsafe {
            libc::sync_file_range(file.as_raw_fd(), at, bytes, libc::SYNC_FILE_RANGE_WRITE)
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, at, bytes);
}

/// Has the system begin to read these bytes of a file, so that there is less to wait for when they are
/// wanted.
pub fn expect(file: &File, at: u64, bytes: u64) {
    #[cfg(target_os = "linux")]
    advise(file, at, bytes, libc::POSIX_FADV_WILLNEED);
    #[cfg(not(target_os = "linux"))]
    let _ = (file, at, bytes);
}

/// Lets the system forget these bytes of a file, those that are on its disk, so that they leave the
/// pages of other files alone.
pub fn forget(file: &File, at: u64, bytes: u64) {
    #[cfg(target_os = "linux")]
    advise(file, at, bytes, libc::POSIX_FADV_DONTNEED);
    #[cfg(not(target_os = "linux"))]
    let _ = (file, at, bytes);
}

#[cfg(target_os = "linux")]
fn advise(file: &File, at: u64, bytes: u64, advice: i32) {
    use std::os::fd::AsRawFd;
    let (Ok(at), Ok(bytes)) = (at.try_into(), bytes.try_into()) else { return };
    // SAFETY: the file is open, and no memory is passed.
    let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), at, bytes, advice) };
}

/// Gives each of two paths, which must exist on one file system, the name of the other: at no moment is
/// there none of either name.
///
/// # Errors
///
/// If the system refuses, or cannot do that.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::ffi::CString;
        use std::os::unix::ffi::OsStrExt;
        let one = CString::new(one.as_os_str().as_bytes())?;
        let other = CString::new(other.as_os_str().as_bytes())?;
        // SAFETY: both are strings that end in a zero, and outlive the call.
        let status = unsafe {
            libc::syscall(
                libc::SYS_renameat2, // which old C libraries have no function for
                libc::AT_FDCWD,
                one.as_ptr(),
                libc::AT_FDCWD,
                other.as_ptr(),
                libc::RENAME_EXCHANGE,
            )
        };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (one, other);
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn directories_change_names_and_files_keep_their_bytes() {
        let folder = std::env::temp_dir().join(format!("threadwise-pages-{}", std::process::id()));
        let [one, other] = ["one", "other"].map(|name| folder.join(name));
        for path in [&one, &other] {
            fs::create_dir_all(path).unwrap();
            let file = path.join("file");
            fs::write(&file, path.to_str().unwrap().repeat(1000)).unwrap();
            let open = File::options().read(true).write(true).open(&file).unwrap();
            let bytes = open.metadata().unwrap().len();
            write_behind(&open, 0, bytes);
            expect(&open, 0, bytes);
            forget(&open, 0, bytes);
            forget(&open, u64::MAX, u64::MAX);
        }
        exchange(&one, &other).unwrap();
        let read = |path: &Path| fs::read_to_string(path.join("file")).unwrap();
        assert!(read(&one).starts_with(other.to_str().unwrap()), "the other's");
        assert!(read(&other).starts_with(one.to_str().unwrap()), "the one's");
        assert!(exchange(&one, &folder.join("absent")).is_err(), "there must be both");
        fs::remove_dir_all(&folder).unwrap();
    }
}
