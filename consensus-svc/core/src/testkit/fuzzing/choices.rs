//! Decisions taken from bytes.

/// Decisions taken from bytes, so that whoever changes a byte changes what a test does. Where the bytes end, every decision
/// is the first one.
#[derive(Clone, Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Decisions from these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether no byte is left.
    pub const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// The next `N` bytes, filled up with zeros at the end.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        for (byte, next) in array.iter_mut().zip(self.take(N)) {
            *byte = *next;
        }
        array
    }

    /// At most `count` of the next bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The next piece: its length in two bytes, then as many bytes as are there.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = u16::from_le_bytes(self.array());
        self.take(usize::from(length))
    }

    /// A number below `bound`, from one byte; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()).checked_rem(bound).unwrap_or(0)
    }

    /// True in one of `sides` cases.
    pub fn one_in(&mut self, sides: u8) -> bool {
        self.byte().checked_rem(sides) == Some(sides.saturating_sub(1))
    }

    /// Any number: mostly a small one, sometimes of 64 bits.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::from_le_bytes(self.array()),
            small => u64::from(small),
        }
    }

    /// One of these; `None` of none.
    pub fn pick<'b, T>(&mut self, of: &'b [T]) -> Option<&'b T> {
        of.get(self.below(of.len()))
    }
}
