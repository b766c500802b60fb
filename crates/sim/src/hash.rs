//! A fast 128-bit hash that is the same on every machine and release, so that a seed means the same everywhere.

const K: [u64; 3] = [0x9E37_79B9_7F4A_7C15, 0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB];

/// Collects fields; the length of each is part of the result, so that ("ab", "c") and ("a", "bc") differ.
#[derive(Clone, Copy)]
pub(crate) struct Hash {
    a: u64,
    b: u64,
}

impl Hash {
    pub(crate) fn new(seed: u64) -> Self {
        Self { a: fold(seed ^ K[0], K[1]), b: fold(seed ^ K[2], K[0]) }
    }

    pub(crate) fn number(mut self, word: u64) -> Self {
        self.a = fold(self.a ^ word, K[1]).wrapping_add(K[0]);
        self.b = fold(self.b.rotate_left(23) ^ word, K[2]).wrapping_add(self.a);
        self
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let hash = words.iter().fold(self, |hash, word| hash.number(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash.number(u64::from_le_bytes(last)).number(bytes.len() as u64)
    }

    pub(crate) fn finish(self) -> u128 {
        let (a, b) = (mix(self.a ^ self.b.rotate_left(32)), mix(self.b));
        u128::from(a) << 64 | u128::from(b)
    }
}

/// A draw in [0, 1) that depends on the key and on what is drawn.
pub(crate) fn draw(key: u128, salt: u64) -> f64 {
    let bits = mix((key as u64) ^ mix((key >> 64) as u64 ^ salt.wrapping_mul(K[0])));
    // The upper 53 bits are what a double holds exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

fn fold(x: u64, k: u64) -> u64 {
    let product = u128::from(x) * u128::from(k);
    product as u64 ^ (product >> 64) as u64
}

/// The finisher of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let of = |x: &[u8], y: &[u8]| Hash::new(1).bytes(x).bytes(y).finish();
        assert_ne!(of(b"ab", b"c"), of(b"a", b"bc"));
        assert_ne!(of(b"", b"\0"), of(b"\0", b""));
        assert_eq!(of(b"ab", b"c"), of(b"ab", b"c"));
    }

    #[test]
    fn draws_are_even() {
        let below = (0..100_000_u64).filter(|n| draw(Hash::new(3).number(*n).finish(), 5) < 0.3).count();
        assert!((29_000..31_000).contains(&below), "{below}");
    }
}
