//! Finding, eight bytes at a time, what JSON does not take as it is inside a string. Knows no string's ends.

/// Where the first `"`, `\` or control character stands.
pub fn special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(index * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let in_rest = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    in_rest.map(|at| bytes.len() - rest.len() + at)
}

const ONES: u64 = u64::MAX / 0xff;
const HIGH_BITS: u64 = ONES * 0x80;

/// Sets the high bit of each byte that is special. Above the lowest one there may be false marks, by borrowing.
fn marks(word: u64) -> u64 {
    let less_than = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGH_BITS;
    let equal_to = |byte: u8| less_than(word ^ (ONES * u64::from(byte)), 1);
    less_than(word, 0x20) | equal_to(b'"') | equal_to(b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let is_special = matches!(byte, b'"' | b'\\' | 0..0x20);
            for (length, at) in [(1, 0), (8, 0), (8, 7), (9, 8), (23, 11), (24, 23), (31, 30)] {
                for around in [b'a', 0x7f, 0x80, 0xff, b' ', b'!', b'#', b'[', b']'] {
                    let mut bytes = vec![around; length];
                    bytes[at] = byte;
                    assert_eq!(special(&bytes), is_special.then_some(at), "{byte:#x} in {around:#x} at {at} of {length}");
                    bytes.push(b'"');
                    assert_eq!(special(&bytes), Some(if is_special { at } else { length }));
                }
            }
        }
        assert_eq!(special(b""), None);
        assert_eq!(special(b"a\"b\\c\0d\"e"), Some(1));
    }
}
