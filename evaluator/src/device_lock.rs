//! Device lock: one judge at a time measures on a GPU. All judges of a machine share one lock file for each GPU.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::JudgeError;

/// The lock of a device; a CPU needs none.
#[derive(Debug)]
pub struct DeviceLock {
    device: String,
    file: Option<File>,
}

/// Unlocks the device when dropped.
#[derive(Debug)]
pub struct Held<'a>(Option<&'a File>);

impl DeviceLock {
    pub fn open(device: &str) -> Result<Self, JudgeError> {
        let open = |gpu: &str| open_shared(&lock_path(gpu));
        let file = device.strip_prefix("cuda:").map(open).transpose();
        let file = file.map_err(|source| JudgeError::Lock { device: device.to_owned(), source })?;
        Ok(Self { device: device.to_owned(), file })
    }

    /// Waits until no other judge holds the device.
    pub fn hold(&self) -> Result<Held<'_>, JudgeError> {
        if let Some(file) = &self.file {
            file.lock().map_err(|source| JudgeError::Lock { device: self.device.clone(), source })?;
        }
        Ok(Held(self.file.as_ref()))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            let _ = file.unlock();
        }
    }
}

fn lock_path(gpu: &str) -> PathBuf {
    std::env::temp_dir().join(format!("packevolve-cuda-{gpu}.lock"))
}

/// Opens a file that another user may have created. Read access is enough to lock it, and all that other users have.
fn open_shared(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path).or_else(|_| File::open(path)),
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
        DeviceLock::open(&format!("cuda:{gpu}")).unwrap()
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
        assert!(DeviceLock::open("cpu").unwrap().file.is_none());
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
