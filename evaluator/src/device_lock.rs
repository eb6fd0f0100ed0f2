//! Device lock: one judge at a time uses a GPU, from the start of a child to its end, because contexts that are made or
//! ended, and memory that is filled, slow down what others measure. All judges of a machine share one lock file a GPU.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

use crate::error::JudgeError;

/// The lock of a device; a CPU needs none.
#[derive(Debug, Default)]
pub struct DeviceLock {
    device: String,
    file: Option<Rc<File>>,
}

/// Unlocks the device when dropped.
#[derive(Debug)]
pub struct Held(Option<Rc<File>>);

impl DeviceLock {
    /// The lock of the GPU with this UUID; numbers of GPUs depend on what a process may see.
    pub fn open(uuid: Option<&str>) -> Result<Self, JudgeError> {
        let Some(uuid) = uuid else { return Ok(Self::default()) };
        let file = open_shared(&lock_path(uuid));
        let file = file.map_err(|source| JudgeError::Lock { device: uuid.to_owned(), source })?;
        Ok(Self { device: uuid.to_owned(), file: Some(Rc::new(file)) })
    }

    /// Waits until no other judge holds the device.
    pub fn hold(&self) -> Result<Held, JudgeError> {
        if let Some(file) = &self.file {
            if file.try_lock().is_ok() {
                return Ok(Held(self.file.clone()));
            }
            tracing::info!(gpu = self.device, "waiting for another judge");
            file.lock().map_err(|source| JudgeError::Lock { device: self.device.clone(), source })?;
        }
        Ok(Held(self.file.clone()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = file.unlock();
        }
    }
}

/// Not in the user's own temporary folder: other users must find it.
fn lock_path(uuid: &str) -> PathBuf {
    Path::new("/tmp").join(format!("packevolve-{uuid}.lock"))
}

/// Opens a file that another user may have created. Read access is enough to lock it, and all that other users have.
fn open_shared(path: &Path) -> io::Result<File> {
    // In a folder where everybody may write, it may be a link or a pipe.
    let open = || {
        let file = File::options().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?;
        let is_file = file.metadata()?.is_file();
        is_file.then_some(file).ok_or_else(|| io::Error::other(format!("{} is not a file", path.display())))
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path).or_else(|_| open()),
        opened => opened,
    }
}

fn create(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create_new(true).open(path)?;
    // Regardless of the umask.
    file.set_permissions(Permissions::from_mode(0o644))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, TryLockError};

    use super::*;

    fn open(gpu: &str) -> DeviceLock {
        DeviceLock::open(Some(gpu)).unwrap()
    }

    fn is_free(lock: &DeviceLock) -> bool {
        match lock.file.as_ref().unwrap().try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn one_judge_at_a_time_holds_a_gpu() {
        let gpu = format!("one-{}", std::process::id());
        let [one, other] = [(); 2].map(|()| open(&gpu));
        let held = one.hold().unwrap();
        assert!(!is_free(&other));
        drop(held);
        assert!(is_free(&other));
        assert!(DeviceLock::open(None).unwrap().file.is_none());
        fs::remove_file(lock_path(&gpu)).unwrap();
    }

    #[test]
    fn a_lock_must_be_a_file() {
        let gpu = format!("pipe-{}", std::process::id());
        nix::unistd::mkfifo(&lock_path(&gpu), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = DeviceLock::open(Some(&gpu)).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().ends_with("is not a file"), "{error:?}");
        fs::remove_file(lock_path(&gpu)).unwrap();
    }

    #[test]
    fn a_gpu_can_be_locked_after_another_user_has_locked_it() {
        let gpu = format!("others-{}", std::process::id());
        let path = lock_path(&gpu);
        let own = open(&gpu);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        // To an ordinary user the file of another user looks like this.
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        let others = open(&gpu);
        let held = own.hold().unwrap();
        assert!(!is_free(&others));
        drop(held);
        assert!(is_free(&others));
        fs::remove_file(path).unwrap();
    }
}
