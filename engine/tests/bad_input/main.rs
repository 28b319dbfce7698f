//! Files that lie: flipped, cut, swapped, foreign, forbidden, from the future. No panic, no wrong record, and an error
//! that tells file, place, expected and found - or the file is derived, and built anew.

mod access;
mod fixture;
mod flipped;
mod journal;
mod newer;
mod swapped;
mod truncated;
