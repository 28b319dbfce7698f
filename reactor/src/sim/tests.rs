//! The machine as a program sees it. (What becomes of the bytes of one file is tested in `content.rs`.)

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::{Faults, Halt, HaltAfter, Outcome, SimConfig, SimDisk, run};
use crate::{File, OpenMode, background, disk, now, random_u64, sleep, spawn, wall_ms};

fn healthy<T>(sim: &SimDisk, seed: u64, main: impl Future<Output = T>) -> T {
    match run(sim, SimConfig::new(seed), main).expect("a run") {
        Outcome::Done(value) => value,
        Outcome::PowerCut | Outcome::Killed | Outcome::Stuck => panic!("a healthy machine halted"),
    }
}

fn halting(seed: u64, halt: Halt, operation: u64) -> SimConfig {
    SimConfig {
        halt_after: Some(HaltAfter { halt, operation }),
        ..SimConfig::new(seed)
    }
}

/// Writes that are synced, and their directory.
async fn write(path: &Path, bytes: &[u8]) -> std::io::Result<File> {
    let file = File::open(path, OpenMode::Create)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data().await?;
    disk::sync_dir(path.parent().expect("a parent"))?;
    Ok(file)
}

#[test]
fn the_clock_jumps_and_tasks_interleave() {
    // A simulated hour must not take one.
    let sim = SimDisk::new();
    healthy(&sim, 1, async {
        let (start, wall) = (now(), wall_ms());
        let task = spawn(async {
            sleep(Duration::from_secs(3600)).await;
            background(random_u64).await
        });
        sleep(Duration::from_secs(60)).await;
        assert_eq!(now().saturating_since(start).as_secs(), 60);
        assert_eq!(wall_ms() - wall, 60_000);
        task.await;
        assert_eq!(now().saturating_since(start).as_secs(), 3600);
    });
}

#[test]
fn files_are_files() {
    let sim = SimDisk::new();
    let dir = Path::new("/data/topic-0");
    healthy(&sim, 1, async {
        disk::create_dir_all(dir).expect("made");
        assert!(File::open(&dir.join("a"), OpenMode::Read).is_err());
        let file = File::open(&dir.join("a"), OpenMode::CreateNew).expect("created");
        assert!(File::open(&dir.join("a"), OpenMode::CreateNew).is_err());
        file.write_all_at(b"hello", 3).expect("written");
        assert_eq!(&file.read(0, 100).await.expect("read")[..], b"\0\0\0hello");
        let mut word = [0; 5];
        file.read_exact_at(&mut word, 3).expect("read");
        assert!(file.read_exact_at(&mut word, 4).is_err());
        let reader = File::open(&dir.join("a"), OpenMode::Read).expect("open");
        assert!(reader.write_all_at(b"x", 0).is_err());
        disk::write_atomic(&dir.join("b"), b"whole").expect("written");
        disk::rename(&dir.join("a"), &dir.join("c")).expect("renamed");
        let names: Vec<String> = disk::read_dir(dir)
            .expect("listed")
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["b", "c"]);
        disk::remove_file(&dir.join("c")).expect("removed");
        assert_eq!(reader.len().expect("open files live on"), 8);
        let lock = disk::lock(dir).expect("locked");
        assert!(disk::lock(dir).is_err());
        drop(lock);
        disk::lock(dir).expect("locked");
        disk::remove_dir_all(Path::new("/data")).expect("removed");
        assert!(!disk::exists(dir));
    });
}

#[test]
fn synced_files_survive_every_power_cut_and_unsynced_entries_may_not() {
    // Recovery is only tested if the disk really loses what it may lose, and never what it may not.
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..200 {
        let sim = SimDisk::new();
        let dir = Path::new("/data");
        healthy(&sim, seed, async {
            disk::create_dir_all(dir).expect("made");
            disk::sync_dir(Path::new("/")).expect("synced");
            write(&dir.join("synced"), b"here").await.expect("written");
        });
        let halt = halting(seed, Halt::PowerCut, 3 + seed % 3);
        let outcome = run(&sim, halt, async {
            let file = File::open(&dir.join("new"), OpenMode::CreateNew)?;
            file.write_all_at(b"bytes", 0)?;
            file.sync_data().await?;
            disk::rename(&dir.join("new"), &dir.join("renamed"))?;
            sleep(Duration::from_secs(1)).await;
            disk::sync_dir(dir)
        });
        assert_eq!(outcome.expect("a run").map_done(|_| ()), Outcome::PowerCut);
        healthy(&sim, seed, async {
            assert_eq!(disk::read(&dir.join("synced")).expect("read"), b"here");
            let names = disk::read_dir(dir).expect("listed");
            assert!(names.len() <= 2, "a rename is atomic: {names:?}");
            kept += usize::from(names.len() == 2);
            lost += usize::from(names.len() == 1);
        });
    }
    assert!(kept > 20 && lost > 20, "{kept} kept, {lost} lost");
}

#[test]
fn a_killed_process_loses_nothing_it_wrote() {
    let sim = SimDisk::new();
    let path = Path::new("/file");
    let outcome = run(&sim, halting(5, Halt::Kill, 2), async {
        let file = File::open(path, OpenMode::Create).expect("created");
        file.write_all_at(b"written", 0).expect("written");
        let refused = file.write_all_at(b"refused", 0);
        assert!(refused.is_err(), "the machine is halted");
        assert!(disk::rename(path, Path::new("/other")).is_err());
    });
    assert_eq!(outcome.expect("a run"), Outcome::Killed);
    healthy(&sim, 6, async {
        assert_eq!(disk::read(path).expect("read"), b"written");
    });
}

#[test]
fn nothing_runs_after_the_halt() {
    // A task that went on after the power was cut could acknowledge to the model what is lost.
    let sim = SimDisk::new();
    let reached = Rc::new(Cell::new(false));
    let seen = reached.clone();
    let outcome = run(&sim, halting(7, Halt::PowerCut, 1), async move {
        let waiting = spawn(async move {
            sleep(Duration::from_millis(1)).await;
            seen.set(true);
        });
        let file = File::open(Path::new("/file"), OpenMode::Create).expect("created");
        let _ = file.write_all_at(b"cut", 0);
        waiting.await;
    });
    assert_eq!(outcome.expect("a run"), Outcome::PowerCut);
    assert!(!reached.get());
}

#[test]
fn a_failed_sync_is_told_once() {
    let sim = SimDisk::new();
    let config = SimConfig {
        faults: Faults {
            sync_error_ppm: 1_000_000,
            ..Faults::default()
        },
        ..SimConfig::new(3)
    };
    let outcome = run(&sim, config, async {
        let file = File::open(Path::new("/file"), OpenMode::Create).expect("created");
        file.write_all_at(b"lost", 0).expect("written");
        assert!(file.sync_data().await.is_err());
        file.sync_data().await.expect("the pages count as clean");
    });
    assert_eq!(outcome.expect("a run"), Outcome::Done(()));
    assert_eq!(sim.counts().sync_errors, 1);
}

#[test]
fn a_full_disk_takes_what_fits_and_has_room_again() {
    let sim = SimDisk::new();
    sim.set_limit(Some(10));
    healthy(&sim, 1, async {
        let file = File::open(Path::new("/file"), OpenMode::Create).expect("created");
        let error = file.write_all_at(b"sixteen bytes...", 0).expect_err("full");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(file.len().expect("len"), 10);
        assert!(file.write_all_at(b"x", 10).is_err());
        file.write_all_at(b"x", 0).expect("over what is there");
        assert_eq!(disk::space(Path::new("/")).expect("space").free, 0);
        sim.set_limit(None);
        file.write_all_at(b"x", 10).expect("room");
    });
}

#[test]
fn failures_come_at_the_rate_that_was_asked_for() {
    let sim = SimDisk::new();
    let config = SimConfig {
        faults: Faults {
            read_error_ppm: 500_000,
            write_error_ppm: 500_000,
            ..Faults::default()
        },
        ..SimConfig::new(3)
    };
    let outcome = run(&sim, config, async {
        let file = File::open(Path::new("/file"), OpenMode::Create).expect("created");
        let mut failed = 0;
        for _ in 0..200 {
            failed += u32::from(file.write_all_at(b"x", 0).is_err());
            failed += u32::from(file.read_at(&mut [0], 0).is_err());
        }
        failed
    });
    let Outcome::Done(failed) = outcome.expect("a run") else {
        panic!("halted");
    };
    assert!((150..250).contains(&failed), "{failed}");
}

#[test]
fn flipped_bits_are_read() {
    let sim = SimDisk::new();
    let path = Path::new("/file");
    healthy(&sim, 1, async { write(path, &[0; 4]).await.map(drop) }).expect("written");
    assert!(sim.flip_bit(path, 2, 5) && !sim.flip_bit(path, 4, 0));
    healthy(&sim, 1, async {
        assert_eq!(disk::read(path).expect("read"), [0, 0, 32, 0]);
    });
}

/// Something of everything, with every number of the machine in it.
async fn busy() -> u64 {
    let mut tasks = Vec::new();
    for number in 0..8_u64 {
        tasks.push(spawn(async move {
            let path = format!("/file-{}", number % 3);
            for _ in 0..10 {
                if let Ok(file) = File::open(Path::new(&path), OpenMode::Create) {
                    let _ = file.write_all_at(&random_u64().to_le_bytes(), number * 100);
                    let _ = file.sync_data().await;
                }
                let _ = background(|| disk::sync_dir(Path::new("/"))).await;
            }
        }));
    }
    for task in tasks {
        task.await;
    }
    now().as_nanos()
}

#[test]
fn the_same_seed_is_the_same_run() {
    // A failing seed that cannot be replayed is worth little.
    let traced = |seed| {
        let sim = SimDisk::new();
        let config = SimConfig {
            faults: Faults {
                sync_error_ppm: 100_000,
                write_error_ppm: 100_000,
                ..Faults::default()
            },
            ..halting(seed, Halt::PowerCut, 100)
        };
        let _ = run(&sim, config, busy()).expect("a run");
        let end = healthy(&sim, seed, busy());
        (sim.trace_hash(), end)
    };
    let hashes: BTreeSet<_> = (0..20).map(traced).collect();
    assert_eq!(hashes.len(), 20);
    assert_eq!(hashes, (0..20).map(traced).collect());
}

#[test]
fn a_fork_goes_its_own_way() {
    let sim = SimDisk::new();
    let path = Path::new("/file");
    healthy(&sim, 1, async { write(path, b"old").await.map(drop) }).expect("written");
    let fork = sim.fork();
    healthy(&fork, 2, async { write(path, b"new").await.map(drop) }).expect("written");
    assert_eq!(sim.cached(path).expect("there"), b"old");
    assert_eq!(fork.cached(path).expect("there"), b"new");
}

#[test]
fn waiting_for_nothing_is_told() {
    let sim = SimDisk::new();
    let outcome = run(&sim, SimConfig::new(1), std::future::pending::<()>());
    assert_eq!(outcome.expect("a run"), Outcome::Stuck);
    healthy(&sim, 1, async {
        let lost = spawn(async { panic!("on purpose") }).outcome().await;
        assert!(lost.is_err());
    });
    assert_eq!(sim.panics(), ["on purpose"]);
}

#[test]
fn direct_writes_are_whole_when_they_resolve_and_torn_before() {
    // The journal is built on this.
    let mut torn = 0;
    for seed in 0..100 {
        let sim = SimDisk::new();
        let path = Path::new("/journal");
        let acknowledged = Rc::new(Cell::new(0));
        healthy(&sim, seed, async { write(path, &[0; 8192]).await.map(drop) }).expect("written");
        let count = acknowledged.clone();
        let outcome = run(&sim, halting(seed, Halt::PowerCut, 3), async move {
            let Ok(file) = super::current_disk()
                .expect("a disk")
                .open(path, OpenMode::ReadWrite)
            else {
                return;
            };
            for block in 0..2 {
                if file.write_synced(block * 4096, &[1; 4096]).await.is_ok() {
                    count.set(count.get() + 1);
                }
            }
        });
        assert_eq!(outcome.expect("a run"), Outcome::PowerCut);
        let bytes = sim.cached(path).expect("there");
        assert_eq!(acknowledged.get(), 1);
        assert!(bytes[..4096].iter().all(|byte| *byte == 1));
        let written = bytes[4096..].iter().filter(|byte| **byte == 1).count();
        assert_eq!(written % 512, 0, "torn at sectors");
        torn += usize::from(written > 0 && written < 4096);
    }
    assert!(torn > 10, "{torn}");
}
