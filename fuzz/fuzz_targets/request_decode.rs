//! One request as it arrives, without its length: header, shape check, then the decoder of its API. Every API and
//! version of the tables in `net::shape`; none may panic, and none may allocate by what is merely announced (run with
//! `-malloc_limit_mb=64`).

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use net::fetch::FetchRequest;
use net::header::RequestHeader;
use net::message::decode_request;
use net::produce::ProduceRequest;
use net::shape;

fuzz_target!(|data: &[u8]| {
    let mut frame = BytesMut::from(data);
    let Ok(header) = RequestHeader::split_from(&mut frame) else {
        return;
    };
    let version = header.api_version;
    let checked = shape::check(header.api_key, version, &frame);
    let body: Bytes = frame.clone().freeze();
    macro_rules! is_decoded {
        ($request:ty,) => {
            decode_request::<$request>(version, body).map(drop).is_ok()
        };
    }
    let decoded = match header.api_key {
        0 => ProduceRequest::parse(version, frame).map(drop).is_ok(),
        1 => FetchRequest::parse(version, &body).map(drop).is_ok(),
        key => net::with_request_type!(key, is_decoded!(), panic!("API {key} has no type")),
    };
    assert!(
        !decoded || checked.is_ok(),
        "nothing is decoded that the shape check refuses"
    );
});
