//! What a change of the image costs, counted and not timed: blocks and bytes allocated while an older image is alive. A cost
//! that grows with the partitions would be paid for each of them when a broker goes, on the control thread of every other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use control::image::{ClusterImage, PartitionImage};
use control::record::{
    BrokerId, DirectoryId, LEADER_UNCHANGED, NO_LEADER, PartitionChangeRecord, PartitionId, PartitionRecord,
    Record, RemoveTopicRecord, TopicRecord,
};
use uuid::Uuid;

const LARGE: Uuid = Uuid::from_u128(0xabcd << 64);
const SMALL: Uuid = Uuid::from_u128(0xabce << 64);

fn directory(broker: i32) -> DirectoryId {
    DirectoryId(Uuid::from_u128(0xd1 << 64 | u128::from(broker.unsigned_abs())))
}

fn topic(id: Uuid, name: &str) -> Record {
    TopicRecord {
        name: name.to_owned(),
        topic_id: id,
        ..TopicRecord::default()
    }
    .into()
}

fn partition(topic_id: Uuid, id: i32) -> Record {
    let replicas = [1, 2, 3];
    PartitionRecord {
        partition_id: PartitionId(id),
        topic_id,
        replicas: replicas.map(BrokerId).to_vec(),
        isr: replicas.map(BrokerId).to_vec(),
        leader: BrokerId(1),
        directories: replicas.map(directory).to_vec(),
        ..PartitionRecord::default()
    }
    .into()
}

fn change(id: i32) -> PartitionChangeRecord {
    PartitionChangeRecord {
        partition_id: PartitionId(id),
        topic_id: LARGE,
        leader: LEADER_UNCHANGED,
        ..PartitionChangeRecord::default()
    }
}

fn with_isr(id: i32, isr: &[i32]) -> Record {
    Record::from(PartitionChangeRecord {
        isr: Some(isr.iter().copied().map(BrokerId).collect()),
        ..change(id)
    })
}

/// What AlterPartition, an election, a reassignment and their like do to one partition.
fn changes(id: i32) -> [(&'static str, Record); 5] {
    let lost = PartitionChangeRecord {
        leader: NO_LEADER,
        ..change(id)
    };
    let moved = PartitionChangeRecord {
        replicas: Some([1, 2, 4].map(BrokerId).to_vec()),
        directories: Some([1, 2, 4].map(directory).to_vec()),
        isr: Some([1, 2].map(BrokerId).to_vec()),
        ..change(id)
    };
    [
        ("ISR", with_isr(id, &[1, 2])),
        ("leader lost", lost.into()),
        ("replica moved", moved.into()),
        ("topic created", topic(Uuid::from_u128(7), "another")),
        (
            "topic deleted",
            RemoveTopicRecord {
                topic_id: SMALL,
                ..RemoveTopicRecord::default()
            }
            .into(),
        ),
    ]
}

/// A topic of `count` partitions, and one of one.
fn cluster(count: i32) -> ClusterImage {
    let mut records = vec![topic(SMALL, "small"), partition(SMALL, 0), topic(LARGE, "large")];
    records.extend((0..count).map(|id| partition(LARGE, id)));
    applied(&ClusterImage::empty("cluster"), &records)
}

fn applied(image: &ClusterImage, records: &[Record]) -> ClusterImage {
    image.apply(records).expect("records fit the image").0
}

#[test]
fn one_change_copies_no_other_partition_of_a_topic_of_ten_thousand() {
    let before = cluster(10_000);
    let after = applied(&before, &[with_isr(5_000, &[1, 2])]);
    let entries = |image: &ClusterImage| -> Vec<(*const PartitionId, *const PartitionImage)> {
        let topic = image.topic(LARGE).expect("exists");
        let entries = topic.partitions.iter();
        entries
            .map(|(id, partition)| (std::ptr::from_ref(id), Arc::as_ptr(partition)))
            .collect()
    };
    let (before_entries, after_entries) = (entries(&before), entries(&after));
    let pairs = before_entries.iter().zip(&after_entries).enumerate();
    let not_shared: Vec<usize> = pairs.filter(|(_, (a, b))| a != b).map(|(id, _)| id).collect();
    assert_eq!((before_entries.len(), not_shared), (10_000, vec![5_000]));
    let isr = |image: &ClusterImage| {
        image
            .partition(LARGE, PartitionId(5_000))
            .expect("exists")
            .isr
            .len()
    };
    assert_eq!((isr(&before), isr(&after)), (3, 2));
}

#[test]
fn what_a_change_allocates_does_not_grow_with_the_partitions() {
    // From 10 partitions to 10,000 a balanced tree has 10 more levels, a red-black one twice that at worst. A change touches no more
    // than three such trees: the topic's partitions, those of the replica that goes and of the one that comes. A copy of the topic's
    // partitions would be 10,000 entries: 80,000 bytes and more.
    const NODES_MORE: usize = 3 * 20;
    const NODE_BYTES: usize = 40;
    let (few, many) = (cluster(10), cluster(10_000));
    for id in [0, 5, 9] {
        for ((kind, small), (_, large)) in changes(id).iter().zip(&changes(id * 1_111)) {
            let small = allocated(|| few.apply([small]).expect("fits"));
            let large = allocated(|| many.apply([large]).expect("fits"));
            println!("{kind} of {id}: {small:?}, {large:?}");
            assert!(
                large.blocks <= small.blocks + NODES_MORE
                    && large.bytes <= small.bytes + NODES_MORE * NODE_BYTES,
                "{kind} of partition {id}: {large:?} among 10,000 and {small:?} among 10"
            );
        }
    }
}

#[test]
fn a_partition_takes_less_than_half_a_kilobyte() {
    let mut image = None;
    let held = allocated(|| image = Some(cluster(10_000)));
    let per_partition = held.kept / 10_000;
    println!("{per_partition} bytes a partition of three replicas");
    assert!(per_partition < 512, "{per_partition} bytes a partition");
    drop(image);
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Allocated {
    blocks: usize,
    bytes: usize,
    /// Bytes that were not given back.
    kept: usize,
}

fn allocated<T>(work: impl FnOnce() -> T) -> Allocated {
    let before = (BLOCKS.get(), BYTES.get(), FREED.get());
    let result = work();
    let (blocks, bytes) = (BLOCKS.get() - before.0, BYTES.get() - before.1);
    let kept = bytes.saturating_sub(FREED.get() - before.2);
    drop(result);
    Allocated { blocks, bytes, kept }
}

thread_local! {
    static BLOCKS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static FREED: Cell<usize> = const { Cell::new(0) };
}

fn add(counter: &'static std::thread::LocalKey<Cell<usize>>, count: usize) {
    let _ = counter.try_with(|counted| counted.set(counted.get() + count));
}

/// Counts what each thread asks for.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counters are plain thread-locals without destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(&BLOCKS, 1);
        add(&BYTES, layout.size());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(&FREED, layout.size());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
