//! Which of the deliveries are genuine, which repeat the one before, and which are forged.
//!
//! Knows no vendor: what proves a delivery is in its headers, or else at the end of its URL.

use crate::cli::deliver::Post;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nature {
    Genuine,
    Repeat,
    Damaged,
}

pub struct Plan<F> {
    count: u64,
    repeat: Option<u64>,
    damage: Option<u64>,
    genuine: F,
    index: u64,
    last: Option<Post>,
}

impl<F: FnMut(u64) -> Post> Plan<F> {
    /// `genuine` makes the one of this number; every `repeat`-th and `damage`-th is one.
    pub fn new(count: u64, repeat: Option<u64>, damage: Option<u64>, genuine: F) -> Plan<F> {
        Plan { count, repeat, damage, genuine, index: 0, last: None }
    }
}

impl<F: FnMut(u64) -> Post> Iterator for Plan<F> {
    type Item = (Post, Nature);

    fn next(&mut self) -> Option<(Post, Nature)> {
        if self.index == self.count {
            return None;
        }
        self.index += 1;
        let is_turn = |every: Option<u64>| every.is_some_and(|every| self.index.is_multiple_of(every));
        match &self.last {
            _ if is_turn(self.damage) => Some((damaged((self.genuine)(self.index)), Nature::Damaged)),
            // In the lane of the one before, so that it is surely the second.
            Some(last) if is_turn(self.repeat) => Some((last.clone(), Nature::Repeat)),
            _ => {
                let post = (self.genuine)(self.index);
                self.last = Some(post.clone());
                Some((post, Nature::Genuine))
            }
        }
    }
}

/// As somebody would send it who does not know the secret.
pub fn damaged(mut post: Post) -> Post {
    match post.headers.first_mut() {
        None => post.url.push('x'),
        Some(("Authorization", value)) => *value = "Basic d3Jvbmc6d3Jvbmc=".to_owned(),
        // What was signed is no longer what is sent, though it still says the same.
        Some(_) => post.body.push(b' '),
    }
    post
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(index: u64, headers: &[(&'static str, &str)]) -> Post {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Post { lane: index, url: "http://h/webhooks/e/wb_1".to_owned(), headers, body: index.to_string().into_bytes() }
    }

    fn check(repeat: Option<u64>, damage: Option<u64>, expected: &str) {
        let plan = Plan::new(8, repeat, damage, |index| post(index, &[]));
        let letter = |(post, nature): (Post, Nature)| match nature {
            Nature::Genuine => format!("{}", post.lane),
            Nature::Repeat => format!("r{}", post.lane),
            Nature::Damaged => "d".to_owned(),
        };
        assert_eq!(plan.map(letter).collect::<Vec<_>>().join(" "), expected, "{repeat:?} {damage:?}");
    }

    #[test]
    fn every_nth_is_one_and_a_repeat_is_of_the_genuine_one_before() {
        check(None, None, "1 2 3 4 5 6 7 8");
        check(Some(3), None, "1 2 r2 4 5 r5 7 8");
        check(None, Some(4), "1 2 3 d 5 6 7 d");
        check(Some(2), Some(3), "1 r1 d r1 5 d 7 r7");
        check(Some(1), None, "1 r1 r1 r1 r1 r1 r1 r1");
        check(Some(1), Some(1), "d d d d d d d d");
    }

    #[test]
    fn what_is_damaged_lacks_what_would_prove_it() {
        for (headers, url, value, body) in [
            (&[("X-Waitwhile-Signature", "s")][..], "http://h/webhooks/e/wb_1", Some("s"), "1 "),
            (&[("Authorization", "Basic good")], "http://h/webhooks/e/wb_1", Some("Basic d3Jvbmc6d3Jvbmc="), "1"),
            (&[], "http://h/webhooks/e/wb_1x", None, "1"),
        ] {
            let post = damaged(post(1, headers));
            assert_eq!((post.url.as_str(), post.body.as_slice()), (url, body.as_bytes()));
            assert_eq!(post.headers.first().map(|(_, value)| value.as_str()), value);
        }
    }
}
