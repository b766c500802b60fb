//! Scenarios through the real protocols.
