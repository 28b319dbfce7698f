//! The tables against kafka-protocol: messages made from the tables are read by the decoder and written again by the
//! encoder to the same bytes, every API at every version. And hostile variants of them cost no more than they may.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::Encodable;

use super::field::{Api, Field, Kind};
use super::*;
use crate::message::decode_request;
use crate::versions_beyond_crate as ours;
use crate::wire::{Encoding, Writer};

/// Decodes as the broker does, after the shape check; `None` if refused.
fn decoded_and_encoded(key: i16, version: i16, body: &Bytes) -> Option<Bytes> {
    macro_rules! by_key {
        ($($key:literal => $request:ty),* $(,)?) => {
            match key {
                $($key => {
                    let request = decode_request::<$request>(version, body.clone()).ok()?;
                    let mut again = BytesMut::new();
                    request.encode(&mut again, version).unwrap();
                    Some(again.freeze())
                })*
                key => panic!("API {key} has no type here"),
            }
        };
    }
    by_key! {
        0 => theirs::ProduceRequest, 1 => theirs::FetchRequest, 2 => ours::ListOffsetsRequest,
        3 => theirs::MetadataRequest, 8 => ours::OffsetCommitRequest, 9 => ours::OffsetFetchRequest,
        10 => theirs::FindCoordinatorRequest, 11 => theirs::JoinGroupRequest, 12 => theirs::HeartbeatRequest,
        13 => theirs::LeaveGroupRequest, 14 => theirs::SyncGroupRequest, 15 => theirs::DescribeGroupsRequest,
        16 => theirs::ListGroupsRequest, 18 => ours::ApiVersionsRequest, 19 => theirs::CreateTopicsRequest,
        20 => theirs::DeleteTopicsRequest, 21 => theirs::DeleteRecordsRequest,
        22 => theirs::InitProducerIdRequest, 23 => theirs::OffsetForLeaderEpochRequest,
        32 => theirs::DescribeConfigsRequest, 33 => theirs::AlterConfigsRequest,
        34 => theirs::AlterReplicaLogDirsRequest, 35 => ours::DescribeLogDirsRequest, 37 => theirs::CreatePartitionsRequest,
        42 => ours::DeleteGroupsRequest, 43 => theirs::ElectLeadersRequest,
        44 => theirs::IncrementalAlterConfigsRequest, 45 => theirs::AlterPartitionReassignmentsRequest,
        46 => theirs::ListPartitionReassignmentsRequest, 47 => theirs::OffsetDeleteRequest,
        52 => theirs::VoteRequest, 53 => theirs::BeginQuorumEpochRequest, 54 => theirs::EndQuorumEpochRequest,
        55 => theirs::DescribeQuorumRequest, 59 => theirs::FetchSnapshotRequest, 80 => theirs::AddRaftVoterRequest,
        81 => theirs::RemoveRaftVoterRequest, 82 => theirs::UpdateRaftVoterRequest,
        57 => theirs::UpdateFeaturesRequest, 60 => theirs::DescribeClusterRequest,
        64 => theirs::UnregisterBrokerRequest,
        61 => theirs::DescribeProducersRequest, 74 => theirs::ListConfigResourcesRequest,
        75 => theirs::DescribeTopicPartitionsRequest,
    }
}

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A message of random values in the shape of the table.
struct Maker {
    dice: Dice,
    version: i16,
}

impl Maker {
    fn message(api: &Api, version: i16, seed: u64) -> Bytes {
        let mut maker = Maker {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            version,
        };
        let mut out = Writer::new(Vec::new(), Encoding::of(version, api.flexible_since));
        maker.fields(api.fields, &mut out);
        Bytes::from(out.into_inner())
    }

    fn fields(&mut self, fields: &[Field], out: &mut Writer<Vec<u8>>) {
        let version = self.version;
        for field in fields
            .iter()
            .filter(|field| field.tag.is_none() && field.is_in(version))
        {
            let null = field.is_nullable(self.version) && self.dice.roll(4) == 0;
            self.value(field, null, out);
        }
        let mut tagged_fields = Vec::new();
        for field in fields.iter().filter(|field| field.is_in(version)) {
            if let Some(tag) = field.tag {
                let mut value = Writer::new(Vec::new(), Encoding::Flexible);
                self.value(field, false, &mut value);
                tagged_fields.push((tag, value.into_inner()));
            }
        }
        out.tagged_fields(&tagged_fields);
    }

    fn value(&mut self, field: &Field, null: bool, out: &mut Writer<Vec<u8>>) {
        let number = self.dice.roll(1 << 20) as i64 + 1; // not the default, which the encoder may leave out
        let count = if null {
            None
        } else {
            Some(self.dice.roll(4) as usize)
        };
        match field.kind {
            Kind::I8 => out.i8((number % 2) as i8), // also a bool, which must be 0 or 1 to come back the same
            Kind::I16 => out.i16(number as i16),
            Kind::I32 => out.i32(number as i32),
            Kind::I64 => out.i64(number),
            Kind::Uuid => out.uuid(uuid::Uuid::from_u128(number as u128)),
            Kind::String => out.nullable_string(count.map(|n| ["", "a", "tøpic", "group-1"][n])),
            Kind::Bytes => out.nullable_bytes(count.map(|n| [&b""[..], b"\0", b"ab", b"\xff\xfe\xfd"][n])),
            Kind::Struct(fields) => {
                if field.is_nullable(self.version) {
                    out.i8(if null { -1 } else { 1 });
                }
                if !null {
                    self.fields(fields, out);
                }
            }
            Kind::Strings => {
                out.length(count);
                (0..count.unwrap_or(0)).for_each(|_| out.string("name"));
            }
            Kind::I8s => {
                out.length(count);
                (0..count.unwrap_or(0)).for_each(|n| out.i8(n as i8));
            }
            Kind::I32s => {
                out.length(count);
                (0..count.unwrap_or(0)).for_each(|n| out.i32(n as i32));
            }
            Kind::Structs(fields) => {
                out.length(count);
                (0..count.unwrap_or(0)).for_each(|_| self.fields(fields, out));
            }
        }
    }
}

fn each_version(mut test: impl FnMut(&'static Api, i16)) {
    for api in apis() {
        for version in api.version_min..=api.version_max {
            test(api, version);
        }
    }
}

#[test]
fn the_decoder_agrees_with_every_table() {
    // A table that differs from the decoder would refuse good requests or let hostile ones through to it.
    each_version(|api, version| {
        for seed in 0..40 {
            let message = Maker::message(api, version, seed);
            let name = api.name;
            assert_eq!(
                check(api.key, version, &message),
                Ok(message.len()),
                "{name} v{version} seed {seed}"
            );
            let again = decoded_and_encoded(api.key, version, &message);
            assert_eq!(again, Some(message), "{name} v{version} seed {seed}");
        }
    });
}

#[test]
fn bytes_after_the_message_are_ignored() {
    each_version(|api, version| {
        let message = Maker::message(api, version, 3);
        let mut longer = message.to_vec();
        longer.extend_from_slice(b"and more");
        assert_eq!(
            decoded_and_encoded(api.key, version, &longer.into()),
            Some(message),
            "{} v{version}",
            api.name
        );
    });
}

#[test]
fn versions_and_apis_we_do_not_know_are_refused() {
    assert_eq!(check(99, 0, &[]), Err(ShapeError::UnknownApi { key: 99 }));
    let unsupported = ShapeError::UnsupportedVersion {
        api: "Produce",
        version: 2,
    };
    assert_eq!(check(0, 2, &[]), Err(unsupported));
    assert_eq!(apis().count(), 36);
}

#[test]
fn hostile_requests_cost_no_more_than_a_multiple_of_their_length() {
    // A count of 2^31 - 1 made the decoder ask for terabytes, which aborts the process.
    let mut dice = Dice(7);
    each_version(|api, version| {
        for seed in 0..4 {
            let message = Maker::message(api, version, seed);
            for end in 0..message.len() {
                assert!(
                    check(api.key, version, &message[..end]).is_err(),
                    "{} v{version} cut at {end}",
                    api.name
                );
                decode_within_bounds(api, version, message.slice(..end));
            }
            for _ in 0..60 {
                let mut changed = message.to_vec();
                for _ in 0..=dice.roll(3) {
                    if !changed.is_empty() {
                        let at = dice.roll(changed.len() as u64) as usize;
                        changed[at] =
                            [0, 1, 2, 0x7f, 0x80, 0xff, dice.roll(256) as u8][dice.roll(7) as usize];
                    }
                }
                decode_within_bounds(api, version, changed.into());
            }
            let noise: Vec<u8> = (0..dice.roll(200)).map(|_| dice.roll(256) as u8).collect();
            decode_within_bounds(api, version, noise.into());
        }
        // the most elements a kilobyte can hold
        for byte in [0, 1, 2] {
            let mut most = vec![byte; 1024];
            most[..4].copy_from_slice(&[0, 0, 0, 100]);
            decode_within_bounds(api, version, most.into());
        }
    });
}

fn decode_within_bounds(api: &Api, version: i16, body: Bytes) {
    // the largest element of kafka-protocol takes some 200 bytes and at least 2 on the wire; re-encoding is in it too
    let allowed = 256 * body.len() + 8192;
    let length = body.len();
    let before = ALLOCATED.get();
    let _ = decoded_and_encoded(api.key, version, &body);
    let allocated = ALLOCATED.get() - before;
    assert!(
        allocated <= allowed,
        "{} v{version}: {allocated} bytes allocated for {length}",
        api.name
    );
}

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

/// Counts what each thread asks for.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain thread-local without destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + layout.size()));
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
