//! The program `bongsu` as a library: configuration, command line, life cycle and wiring, so that tests run the same code.

pub mod audit;
pub mod books;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod environment;
pub mod failure;
pub mod log_lines;
pub mod neighbours;
pub mod opening;
pub mod run;
mod table;
pub mod wiring;
