//! The program `bongsu`.

fn main() {}
