//! Record batches from outside: what Kafka wrote, what nobody should have written, and everything in between.

mod codecs;
mod golden;
mod properties;
mod refusals;
mod stamps;
mod support;
