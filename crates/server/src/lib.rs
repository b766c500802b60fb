//! The program `bongsu` as a library: configuration, command line, life cycle and wiring, so that tests run the same code.

pub mod audit;
pub mod config;
