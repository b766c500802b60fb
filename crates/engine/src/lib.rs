//! Engines behind ports: what carries work between the parts of the program.

pub mod queue;
