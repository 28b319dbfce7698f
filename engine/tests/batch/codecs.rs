//! The codecs by themselves: what they take, and what they allocate when somebody lies.

use std::io::Write;

use engine::batch::CodecError;
use engine::batch::codec::{
    Codec, Compression, Decompressor, compress, decompress_to_vec, with_decompressed,
};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const MAX: usize = 1 << 20;

fn packed(codec: Codec, input: &[u8]) -> Vec<u8> {
    compress(codec.into(), input).unwrap()
}

/// Text that is neither random nor constant.
fn text(count: usize) -> Vec<u8> {
    (0..count / 10 + 1)
        .flat_map(|i| format!("line {:04} ", i * 7919 % 9973).into_bytes())
        .take(count)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_survives(input in proptest::collection::vec(any::<u8>(), 0..5000), times in 1..60_usize) {
        let input = input.repeat(times);
        for codec in CODECS {
            prop_assert_eq!(decompress_to_vec(codec, &packed(codec, &input), MAX).unwrap(), &input[..]);
        }
    }

    #[test]
    fn noise_is_refused_or_read_within_bounds(
        input in proptest::collection::vec(any::<u8>(), 0..200),
        head in 0..4_usize,
    ) {
        let heads: [&[u8]; 4] = [
            b"",
            &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1],
            &[0x28, 0xb5, 0x2f, 0xfd],
            &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0],
        ];
        let input = [heads[head], &input].concat();
        for codec in CODECS {
            let mut decompressor = Decompressor::new();
            let length = decompressor.decompress(codec, &input, 10_000).map_or(0, <[u8]>::len);
            prop_assert!(length <= 10_000);
            prop_assert!(decompressor.buffer_bytes() <= 10_001, "{codec}");
        }
    }
}

#[test]
fn levels_are_clamped_not_refused() {
    for codec in CODECS {
        for level in [i32::MIN, -1, 0, 1, 9, 100] {
            let small = compress(
                Compression {
                    codec,
                    level: Some(level),
                },
                &text(1000),
            )
            .unwrap();
            assert_eq!(decompress_to_vec(codec, &small, MAX).unwrap(), text(1000));
        }
    }
}

#[test]
fn the_bound_is_exact() {
    for codec in CODECS {
        for count in [1, 100, 70_000] {
            let small = packed(codec, &text(count));
            assert_eq!(
                decompress_to_vec(codec, &small, count).unwrap(),
                text(count),
                "{codec} {count}"
            );
            let error = decompress_to_vec(codec, &small, count - 1).unwrap_err();
            assert_eq!(
                error,
                CodecError::TooLarge {
                    codec,
                    max_bytes: count - 1
                },
                "{codec} {count}"
            );
        }
    }
}

#[test]
fn a_bomb_allocates_no_more_than_the_bound() {
    // 4 MiB of zeros in some kilobytes; a server that believed it would hold them for every connection.
    let zeros = vec![0; 4 << 20];
    for codec in CODECS {
        let bomb = packed(codec, &zeros);
        let mut decompressor = Decompressor::new();
        let error = decompressor.decompress(codec, &bomb, MAX).unwrap_err();
        assert_eq!(
            error,
            CodecError::TooLarge {
                codec,
                max_bytes: MAX
            }
        );
        assert!(
            decompressor.buffer_bytes() <= MAX + 1,
            "{codec}: {}",
            decompressor.buffer_bytes()
        );
    }
}

#[test]
fn lies_about_the_size_allocate_nothing_much() {
    let lies: [(Codec, &[u8]); 3] = [
        (Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, b'x']),
        // descriptor 0xe0: single segment, 8 bytes of content size, here 2^62
        (
            Codec::Zstd,
            &[0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0],
        ),
        // blocks of up to 4 MiB, content size 2^62; the checksum of the descriptor is right
        (
            Codec::Lz4,
            &[
                0x04, 0x22, 0x4d, 0x18, 0x68, 0x70, 0, 0, 0, 0, 0, 0, 0, 0x40, 0xcc, 1, 0, 0, 0, 0,
            ],
        ),
    ];
    for (codec, bytes) in lies {
        let mut decompressor = Decompressor::new();
        assert!(decompressor.decompress(codec, bytes, 1 << 30).is_err(), "{codec}");
        assert!(
            decompressor.buffer_bytes() <= 64 << 10,
            "{codec}: {}",
            decompressor.buffer_bytes()
        );
    }
}

#[test]
fn a_large_window_is_not_a_large_allocation() {
    // zstd levels 20 and up announce windows of up to 128 MiB; streaming decoders allocate them.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&text(200_000)).unwrap();
    let frame = encoder.finish().unwrap();
    let mut decompressor = Decompressor::new();
    assert_eq!(
        decompressor.decompress(Codec::Zstd, &frame, MAX).unwrap(),
        text(200_000)
    );
    assert!(decompressor.buffer_bytes() <= 256 << 10);
}

#[test]
fn what_one_large_batch_needed_is_given_back() {
    let large = packed(Codec::Zstd, &vec![7; 8 << 20]);
    let small = packed(Codec::Zstd, b"small");
    let mut decompressor = Decompressor::new();
    assert_eq!(
        decompressor
            .decompress(Codec::Zstd, &large, 16 << 20)
            .unwrap()
            .len(),
        8 << 20
    );
    assert_eq!(
        decompressor.decompress(Codec::Zstd, &small, 16 << 20).unwrap(),
        b"small"
    );
    assert!(decompressor.buffer_bytes() <= 64 << 10);
}

#[test]
fn nested_use_of_a_threads_buffer_is_fine() {
    let (outer, inner) = (packed(Codec::Gzip, b"outer"), packed(Codec::Gzip, b"inner"));
    let both = with_decompressed(Codec::Gzip, &outer, MAX, |first| {
        with_decompressed(Codec::Gzip, &inner, MAX, |second| [first, second].concat())
    });
    assert_eq!(both.unwrap().unwrap(), b"outerinner");
}

#[test]
fn snappy_is_read_raw_framed_and_concatenated() {
    let raw = snap::raw::Encoder::new().compress_vec(&text(100_000)).unwrap();
    assert_eq!(
        decompress_to_vec(Codec::Snappy, &raw, MAX).unwrap(),
        text(100_000)
    );
    let framed = packed(Codec::Snappy, &text(100_000));
    let twice = [framed.as_slice(), &framed].concat();
    assert_eq!(
        decompress_to_vec(Codec::Snappy, &twice, MAX).unwrap(),
        text(100_000).repeat(2)
    );
}

#[test]
fn gzip_members_and_zstd_frames_follow_each_other() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let twice = [packed(codec, b"one "), packed(codec, b"two")].concat();
        assert_eq!(decompress_to_vec(codec, &twice, MAX).unwrap(), b"one two");
    }
}

#[test]
fn lz4_frames_of_every_shape_are_read_and_their_checksums_believed() {
    let input = text(300_000);
    for mode in [BlockMode::Independent, BlockMode::Linked] {
        for size in [
            BlockSize::Max64KB,
            BlockSize::Max256KB,
            BlockSize::Max1MB,
            BlockSize::Max4MB,
        ] {
            for sums in 0..4 {
                let info = FrameInfo::new()
                    .block_mode(mode)
                    .block_size(size)
                    .block_checksums(sums & 1 != 0)
                    .content_checksum(sums & 2 != 0)
                    .content_size((sums == 0).then_some(input.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&input).unwrap();
                let mut frame = encoder.finish().unwrap();
                assert_eq!(
                    decompress_to_vec(Codec::Lz4, &frame, MAX).unwrap(),
                    input,
                    "{mode:?} {size:?} {sums}"
                );
                if sums & 2 != 0 {
                    *frame.last_mut().unwrap() ^= 1;
                    assert!(decompress_to_vec(Codec::Lz4, &frame, MAX).is_err());
                }
            }
        }
    }
    let mut trailing = packed(Codec::Lz4, &input);
    trailing.push(0);
    assert!(decompress_to_vec(Codec::Lz4, &trailing, MAX).is_err());
}

#[test]
fn compressed_data_cut_anywhere_is_refused() {
    let input = text(500);
    for codec in CODECS {
        let whole = packed(codec, &input);
        for end in 0..whole.len() {
            // an xerial stream may end after its header or any block: the record count tells then
            let result = decompress_to_vec(codec, &whole[..end], MAX);
            let complete_frame = codec == Codec::Snappy && end == 16;
            assert!(
                result.is_err() || complete_frame,
                "{codec} cut at {end} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn optional_fields_of_a_gzip_header_are_skipped() {
    // What a client's library puts there is its own affair, Kafka reads all of it.
    let mut encoder = flate2::GzBuilder::new()
        .extra(b"extra".to_vec())
        .filename("name")
        .comment("comment")
        .write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"content").unwrap();
    let member = encoder.finish().unwrap();
    assert_eq!(decompress_to_vec(Codec::Gzip, &member, MAX).unwrap(), b"content");
    for end in 0..member.len() {
        assert!(decompress_to_vec(Codec::Gzip, &member[..end], MAX).is_err());
    }
}
