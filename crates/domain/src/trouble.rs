//! Work that is done over and over: what is wrong with it is told once, not at every round.

/// Whether the last round failed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble(bool);

impl Trouble {
    /// What a round failed with, where the round before did not.
    pub fn begins<E>(&mut self, round: Result<(), E>) -> Option<E> {
        let error = round.err();
        let was = std::mem::replace(&mut self.0, error.is_some());
        error.filter(|_| !was)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_until_it_is_over() {
        let mut trouble = Trouble::default();
        let rounds = [Ok(()), Err(1), Err(2), Ok(()), Ok(()), Err(3)];
        assert_eq!(rounds.map(|round| trouble.begins(round)), [None, Some(1), None, None, None, Some(3)]);
    }
}
