//! The store and its disk: permissions, free space and health. The store itself is not opened,
//! because the daemon may have it open and could not read files written by root.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use crate::config::{Config, units};

use crate::cli::doctor::finding::DoctorReport;

/// Free bytes below which the store cannot be created.
const MIN_FREE: u64 = 4 << 20;

/// Free bytes below which the disk will soon be full.
const LOW_FREE: u64 = 64 << 20;

/// Folder with the kernel's view of devices and file systems.
const SYS: &str = "/sys";

/// Checks the store and its disk. Returns whether a daemon on this machine has the store open, if
/// known.
pub(super) fn check(config: &Config, report: &mut DoctorReport) -> Option<bool> {
    let Some(path) = config.store.path.as_deref() else {
        let todo =
            "systemd provides a folder with `StateDirectory=`; otherwise set one with `store.path`";
        report.warn(
            "store",
            "no store: commands in flight are lost if the process ends",
            todo,
        );
        return None;
    };
    // Under systemd the store is in a folder of root, which other users may not read.
    if !rustix::process::geteuid().is_root() && denied(path) {
        report.warn(
            "store",
            format!("only root may check the store in `{}`", path.display()),
            "sudo sayso doctor",
        );
        return None;
    }
    let held = store(path, report);
    // The daemon creates missing folders.
    let there = path
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    if writable(there, report) {
        room(there, report);
    }
    wear(there, Path::new(SYS), report);
    held
}

fn denied(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn store(path: &Path, report: &mut DoctorReport) -> Option<bool> {
    moved_aside(path, report);
    let shown = path.display();
    let held = match File::open(path.join("db")) {
        Ok(file) => matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.ok(
                "store",
                format!("none yet in `{shown}`: the daemon creates it"),
            );
            return Some(false);
        }
        Err(error) => {
            report.fault(
                "store",
                format!("the store in `{shown}` cannot be read: {error}"),
                "run this as root; if you do, correct its owner: the user that the daemon runs as",
            );
            return None;
        }
    };
    let size = size(path);
    if held {
        report.ok(
            "store",
            format!(
                "`{shown}`, {}, in use by the running daemon",
                units::show_size(size)
            ),
        );
    } else {
        report.ok(
            "store",
            format!("`{shown}`, {}, not in use", units::show_size(size)),
        );
    }
    Some(held)
}

/// Reports stores that were damaged and therefore moved aside.
fn moved_aside(path: &Path, report: &mut DoctorReport) {
    let beside = path.parent().unwrap_or(Path::new("."));
    let begins = format!(
        "{}.broken-",
        path.file_name().unwrap_or_default().to_string_lossy()
    );
    let broken: Vec<PathBuf> = fs::read_dir(beside)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let broken = broken.iter().filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&begins))
    });
    let names: Vec<String> = broken.map(|path| path.display().to_string()).collect();
    if !names.is_empty() {
        let found = format!("a damaged store was moved aside: {}", names.join(", "));
        report.warn(
            "store",
            found,
            "the cause is a power cut or a failing card: see the disk \
            below; delete the copy once the cause is known",
        );
    }
}

fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|entry| {
            Some(if entry.file_type().ok()?.is_dir() {
                size(&entry.path())
            } else {
                entry.metadata().ok()?.len()
            })
        })
        .sum()
}

fn writable(there: &Path, report: &mut DoctorReport) -> bool {
    let shown = there.display();
    let read_only =
        statvfs(there).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY));
    if read_only {
        let todo = "the kernel does that for a failing card (`dmesg | grep -i error`): replace it; \
            otherwise remount it, or move `store.path`";
        report.fault(
            "disk",
            format!("the disk under `{shown}` is read-only: nothing can be stored"),
            todo,
        );
    } else if access(there, Access::WRITE_OK).is_err() {
        report.fault(
            "disk",
            format!("`{shown}` is not writable"),
            "change its owner to the user that the daemon runs as (chown), or run this as that \
             user",
        );
        return false;
    }
    !read_only
}

fn room(there: &Path, report: &mut DoctorReport) {
    let Ok(disk) = statvfs(there) else { return };
    let (free, shown) = (disk.f_bavail.saturating_mul(disk.f_frsize), there.display());
    if disk.f_blocks == 0 {
        // Not a disk, or one that does not report its size.
        match create_and_remove(there) {
            Ok(()) => report.ok(
                "disk",
                format!("`{shown}` can be written; its free space is unknown"),
            ),
            Err(error) => {
                let todo = "set `store.path` to a folder on a disk";
                report.fault(
                    "disk",
                    format!("nothing can be written in `{shown}`: {error}"),
                    todo,
                );
            }
        }
    } else if disk.f_files > 0 && disk.f_favail == 0 {
        report.fault(
            "disk",
            format!("the disk under `{shown}` has no free inodes"),
            "delete files (there are many small ones), or move `store.path`",
        );
    } else if free < MIN_FREE {
        report.fault(
            "disk",
            format!(
                "the disk under `{shown}` is full: {} left",
                units::show_size(free)
            ),
            "free some space (`journalctl --vacuum-size=50M`, `apt clean`), or move `store.path`",
        );
    } else if free < LOW_FREE {
        report.warn(
            "disk",
            format!(
                "the disk under `{shown}` is nearly full: {} left",
                units::show_size(free)
            ),
            "free some space: `journalctl --vacuum-size=50M`, `apt clean`",
        );
    } else {
        report.ok(
            "disk",
            format!("`{shown}` can be written, {} MiB left", free >> 20),
        );
    }
}

/// Creates a file with a random name and removes it.
fn create_and_remove(there: &Path) -> std::io::Result<()> {
    let path = there.join(format!(".sayso-doctor-{:08x}", rand::random::<u32>()));
    File::create_new(&path)?;
    fs::remove_file(path)
}

/// Reports the health of the disk: eMMC reports its wear, ext4 counts its errors; SD cards report
/// nothing.
fn wear(there: &Path, sys: &Path, report: &mut DoctorReport) {
    let Ok(stat) = rustix::fs::stat(there) else {
        return;
    };
    let (major, minor) = (
        rustix::fs::major(stat.st_dev),
        rustix::fs::minor(stat.st_dev),
    );
    let Ok(device) = fs::canonicalize(sys.join(format!("dev/block/{major}:{minor}"))) else {
        return;
    };
    let Some(name) = device
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
    else {
        return;
    };
    worn(&device, &name, sys, report);
}

fn worn(device: &Path, name: &str, sys: &Path, report: &mut DoctorReport) {
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    if let Some(errors @ 1..) = number(sys.join(format!("fs/ext4/{name}/errors_count"))) {
        report.fault(
            "disk",
            format!("the file system on {name} has had {errors} errors"),
            format!(
                "copy important data, then `fsck /dev/{name}` from another system; replace the \
                card if the errors return"
            ),
        );
    }
    // A partition is a subfolder of its disk.
    let lives = [
        device.join("device/life_time"),
        device.join("../device/life_time"),
    ];
    let Some(life_time) = lives.iter().find_map(|path| fs::read_to_string(path).ok()) else {
        return;
    };
    // Two estimates in tenths of the life time; 0x0b means exceeded (JEDEC eMMC 5.0,
    // DEVICE_LIFE_TIME_EST).
    let worst = life_time
        .split_whitespace()
        .filter_map(|tenth| u32::from_str_radix(tenth.trim_start_matches("0x"), 16).ok())
        .max()
        .unwrap_or_default();
    if worst >= 10 {
        report.fault(
            "disk",
            format!("{name} has reached the end of its life time"),
            "replace it before it goes read-only",
        );
    } else if worst >= 8 {
        report.warn(
            "disk",
            format!("{name} has used about {} % of its life time", worst * 10),
            "prepare a replacement",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(life: &str, errors: &str) -> String {
        let sys = tempfile::tempdir().unwrap();
        let device = sys.path().join("block/mmcblk0/mmcblk0p2");
        fs::create_dir_all(&device).unwrap();
        fs::create_dir_all(device.join("../device")).unwrap();
        fs::create_dir_all(sys.path().join("fs/ext4/mmcblk0p2")).unwrap();
        fs::write(device.join("../device/life_time"), life).unwrap();
        fs::write(sys.path().join("fs/ext4/mmcblk0p2/errors_count"), errors).unwrap();
        let mut report = DoctorReport::default();
        worn(&device, "mmcblk0p2", sys.path(), &mut report);
        report.json()["findings"].to_string()
    }

    #[test]
    fn a_pseudo_file_system_is_not_reported_as_full() {
        let findings = |there: &str| {
            let mut report = DoctorReport::default();
            room(Path::new(there), &mut report);
            report.json()["findings"].to_string()
        };
        assert!(
            findings("/proc").contains("nothing can be written in `/proc`"),
            "{}",
            findings("/proc")
        );
        assert!(!findings("/proc").contains("full"));
    }

    #[test]
    fn a_worn_disk_and_disk_errors_are_reported() {
        assert_eq!(found("0x01 0x02\n", "0\n"), "[]");
        assert!(found("0x01 0x09\n", "0\n").contains("90 % of its life time"));
        assert!(found("0x0b 0x01\n", "0\n").contains("end of its life time"));
        assert!(found("0x01 0x01\n", "3\n").contains("has had 3 errors"));
    }
}
