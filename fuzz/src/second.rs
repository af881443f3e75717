//! HMAC, base64 and CRC32C once more, written from their standards: slow, plain, and not the product's.

use sha2::{Digest, Sha256};

/// RFC 2104.
pub fn hmac_sha256(key: &[u8], text: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    text.iter().for_each(|part| inner.update(part));
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { digit.into() } else { '=' });
        }
    }
    text
}

/// Standard base64 with padding, of 32 bytes: 43 digits, the last of which has two zero bits, and one `=`.
pub fn is_base64_of_32_bytes(text: &[u8]) -> bool {
    let digit = |byte: &u8| BASE64.iter().position(|digit| digit == byte);
    match text {
        [digits @ .., b'='] => {
            digits.len() == 43 && digits.iter().all(|byte| digit(byte).is_some()) && digit(&digits[42]).unwrap() % 4 == 0
        }
        _ => false,
    }
}

/// RFC 3720, appendix B.4, bit by bit over a table of bytes.
pub fn crc32c(parts: &[&[u8]]) -> u32 {
    const TABLE: [u32; 256] = table();
    let step = |crc: u32, byte: &u8| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)];
    !parts.iter().flat_map(|part| part.iter()).fold(!0, step)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let (mut crc, mut bit) = (at as u32, 0);
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_opinions_give_the_known_answers() {
        let body = "{\"id\":\"0T6HyBrXIZuDl73ViyRp\",\"created\":\"2022-05-19T14:06:11.923Z\",\"accountId\":\"itiDKblwIsbJsAxO8kFz\",\
            \"type\":\"visit.created\",\"data\":{\"id\":\"Kk1BeidF0N4p8wzp2J0x\",\"name\":\"Zoë\"}}";
        let mac = hmac_sha256(b"whsec_test_0123456789", &[b"https://hooks.example.com/webhooks/waitwhile", body.as_bytes()]);
        let text = base64(&mac);
        assert_eq!(text, "D1WWwyrpuD5IMzYPpEPlvWmSmMHWyqqMmer9TL3lA0A=");
        assert!(is_base64_of_32_bytes(text.as_bytes()) && !is_base64_of_32_bytes(b"D1WWwyrpuD5IMzYPpEPlvWmSmMHWyqqMmer9TL3lA0B="));
        assert_eq!(["f", "fo", "foo"].map(|text| base64(text.as_bytes())), ["Zg==", "Zm8=", "Zm9v"]);
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283);
    }
}
