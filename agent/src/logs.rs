//! The app's output: the last `capacity` bytes, addressed by their offset since the app started.

use std::collections::VecDeque;

/// Most bytes of the output that go with an exit event.
const TAIL_BYTES: usize = 4096;
/// Most lines of the output that go with an exit event.
const TAIL_LINES: usize = 20;

/// A bounded log. Bytes keep their absolute offset; the oldest are dropped first.
#[derive(Debug)]
pub struct LogRing {
    capacity: usize,
    bytes: VecDeque<u8>,
    /// Offset one past the newest byte.
    end: u64,
}

impl LogRing {
    /// An empty log that keeps `capacity` bytes. Memory is taken as output comes: a snapshot carries what is used.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            bytes: VecDeque::new(),
            end: 0,
        }
    }

    /// Adds output, dropping the oldest bytes when full.
    pub fn push(&mut self, data: &[u8]) {
        self.end += data.len() as u64;
        let kept = &data[data.len().saturating_sub(self.capacity)..];
        let overflow = (self.bytes.len() + kept.len()).saturating_sub(self.capacity);
        self.bytes.drain(..overflow);
        self.bytes.extend(kept);
    }

    /// The kept bytes from `offset` on, and the offset of the first of them. An offset beyond the end gives nothing.
    pub fn read_from(&self, offset: u64) -> (u64, Vec<u8>) {
        let oldest = self.end - self.bytes.len() as u64;
        let start = offset.clamp(oldest, self.end);
        let bytes = self.bytes.range((start - oldest) as usize..);
        (start, bytes.copied().collect())
    }

    /// The last lines, as text, for an exit event.
    pub fn tail(&self) -> String {
        let (start, bytes) = self.read_from(self.end.saturating_sub(TAIL_BYTES as u64));
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        // A first line that was cut tells less than the lines after it, unless it is all there is.
        let cut = usize::from(start > 0 && lines.len() > 1);
        let from = lines.len().saturating_sub(TAIL_LINES).max(cut);
        lines[from..].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a log of `capacity` must hold, the slow way.
    fn model(pushes: &[&[u8]], capacity: usize) -> (u64, Vec<u8>) {
        let all: Vec<u8> = pushes.concat();
        let kept = all.len().saturating_sub(capacity);
        (kept as u64, all[kept..].to_vec())
    }

    #[test]
    fn empty_log_reads_empty_at_any_offset() {
        let log = LogRing::new(8);
        assert_eq!(log.read_from(0), (0, vec![]));
        assert_eq!(log.read_from(99), (0, vec![]));
        assert_eq!(log.tail(), "");
    }

    #[test]
    fn offsets_are_absolute_and_clamped() {
        let mut log = LogRing::new(8);
        log.push(b"0123456789");
        assert_eq!(log.read_from(0), (2, b"23456789".to_vec()));
        assert_eq!(log.read_from(7), (7, b"789".to_vec()));
        assert_eq!(log.read_from(10), (10, vec![]));
        assert_eq!(log.read_from(u64::MAX), (10, vec![]));
    }

    #[test]
    fn any_sequence_of_sizes_keeps_the_newest_bytes() {
        for capacity in [1, 2, 7, 8] {
            for seed in 0..200u64 {
                let data: Vec<u8> = (0..=255).collect();
                let mut state = seed;
                let pushes: Vec<&[u8]> = (0..12)
                    .map(|_| {
                        state = state
                            .wrapping_mul(6364136223846793005)
                            .wrapping_add(1442695040888963407);
                        let start = (state >> 33) as usize % 200;
                        &data[start..start + (state >> 50) as usize % 20]
                    })
                    .collect();
                let mut log = LogRing::new(capacity);
                for push in &pushes {
                    log.push(push);
                }
                assert_eq!(
                    log.read_from(0),
                    model(&pushes, capacity),
                    "{capacity} {seed}"
                );
            }
        }
    }

    #[test]
    fn tail_is_the_last_whole_lines() {
        let mut log = LogRing::new(1 << 16);
        for line in 0..3000 {
            log.push(format!("line {line}\n").as_bytes());
        }
        let tail = log.tail();
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.starts_with("line 2980\n") && tail.ends_with("line 2999\n"));
    }

    #[test]
    fn tail_of_one_endless_line_is_its_end() {
        let mut log = LogRing::new(1 << 16);
        log.push(&[b'x'; 9000]);
        assert_eq!(log.tail().len(), TAIL_BYTES);
    }
}
