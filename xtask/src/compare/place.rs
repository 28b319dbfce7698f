//! Where the brokers keep their data: a folder, or an ext4 of its own in a file.

use super::process;
use crate::shell::{self, Done};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What we make in a data directory begins with this, then our process id.
const PREFIX: &str = "ringlog-xtask-";
/// The kernel may keep a mount busy for a moment after its last process has gone.
const UNMOUNT_TRIES: u32 = 100;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(100);

/// A folder of our own, gone when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn make(parent: &Path, name: &str) -> Done<Folder> {
        let path = parent.join(format!("{PREFIX}{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(Folder(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An ext4 made with the defaults of mkfs (so with a journal) in a file, on a loop device, mounted. All of it is
/// undone, in the reverse order, when dropped.
pub struct LoopImage {
    folder: Folder,
    device: Option<String>,
    is_mounted: bool,
}

impl LoopImage {
    pub fn make(parent: &Path, size: &str) -> Done<LoopImage> {
        if !process::is_root() {
            return Err("a loop-mounted image needs root".into());
        }
        let folder = Folder::make(parent, "image")?;
        let mut image = LoopImage {
            folder,
            device: None,
            is_mounted: false,
        };
        shell::run(shell::program("truncate").args(["-s", size]).arg(image.file()))?;
        shell::run(shell::program("mkfs.ext4").args(["-q", "-F"]).arg(image.file()))?;
        fs::create_dir_all(image.mount_point()).map_err(|why| why.to_string())?;
        image.attach()?;
        Ok(image)
    }

    /// A loop device for the file, and the mount. The device writes past the page cache of the file system below it,
    /// so that no byte is cached twice.
    pub fn attach(&mut self) -> Done {
        let mut losetup = shell::program("losetup");
        losetup.args(["-f", "--show", "--direct-io=on"]).arg(self.file());
        let device = shell::output(&mut losetup)?.trim().to_owned();
        self.device = Some(device.clone());
        shell::run(shell::program("mount").arg(&device).arg(self.mount_point()))?;
        self.is_mounted = true;
        Ok(())
    }

    pub fn detach(&mut self) -> Done {
        let mut tries = 0;
        while self.is_mounted {
            match shell::output(shell::program("umount").arg(self.mount_point())) {
                Ok(_) => self.is_mounted = false,
                Err(why) if tries >= UNMOUNT_TRIES => return Err(why),
                Err(_) => std::thread::sleep(UNMOUNT_PAUSE),
            }
            tries += 1;
        }
        if let Some(device) = self.device.take() {
            shell::output(shell::program("losetup").arg("-d").arg(&device))?;
        }
        Ok(())
    }

    pub fn mount_point(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("image")
    }
}

impl Drop for LoopImage {
    fn drop(&mut self) {
        if let Err(why) = self.detach() {
            eprintln!("{}: {why}", self.file().display());
        }
    }
}

/// Undoes what runs that were killed have left in a data directory: theirs by the name, over by the process id in it.
pub fn remove_leftovers(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let pid = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| !process::is_alive(*pid)) else {
            continue;
        };
        shell::step(&format!(
            "removing what process {pid} has left: {}",
            path.display()
        ));
        let image = path.join("image");
        if image.is_file() {
            let _ = shell::output(shell::program("umount").arg(path.join("mount")));
            let devices = shell::output(
                shell::program("losetup")
                    .args(["-n", "-O", "NAME", "-j"])
                    .arg(&image),
            );
            for device in devices.unwrap_or_default().lines() {
                let _ = shell::output(shell::program("losetup").arg("-d").arg(device.trim()));
            }
        }
        let _ = fs::remove_dir_all(&path);
    }
}

/// The file system a folder is on, and its options, for the head of the report.
pub fn describe(folder: &Path) -> String {
    let mut findmnt = shell::program("findmnt");
    findmnt
        .args(["-n", "-o", "FSTYPE,SOURCE,OPTIONS", "-T"])
        .arg(folder);
    let text = shell::output(&mut findmnt).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A measuring machine with a full disk measures a full disk.
    #[test]
    fn only_what_dead_runs_have_left_is_removed() {
        let parent = Folder::make(&std::env::temp_dir(), "leftovers").expect("a folder");
        let dead = parent.path().join(format!("{PREFIX}4194305-broker")); // beyond the highest pid there is
        let other = parent.path().join("somebody-else");
        for folder in [&dead, &other] {
            fs::create_dir(folder).expect("a folder");
        }
        let alive = Folder::make(parent.path(), "broker").expect("a folder");
        remove_leftovers(parent.path());
        assert!(!dead.exists() && other.exists() && alive.path().exists());
    }
}
