//! Codecs without input or output: bytes in, values out, and back.
//!
//! The room knows protocols and nothing else: no sockets, no clocks, no tasks.

pub mod smpp;
pub mod webhook;
