//! What a flow keeps, and in which order it gives it back.

use super::*;

fn flow() -> Flow {
    let mut flow = Flow::default();
    flow.start(u32::MAX - 2);
    flow
}

fn drain(flow: &mut Flow) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ready::Bytes(piece)) = flow.take() {
        flow.next += piece.length;
        all.extend(piece.bytes);
    }
    all
}

#[test]
fn pieces_come_out_in_order_across_the_wrap_of_the_sequence_space() {
    let mut flow = flow();
    for (sequence, bytes) in [(3u32, &b"ghi"[..]), (u32::MAX - 2, b"abc"), (0, b"def"), (1, b"e")] {
        let at = flow.position(sequence);
        assert!(!flow.keep(at, bytes, bytes.len() as u64, Stamp::default()));
    }
    assert_eq!(drain(&mut flow), b"abcdefghi");
    assert!(flow.is_clear());
}

#[test]
fn bytes_seen_before_the_start_keep_their_place_across_the_wrap() {
    let mut flow = Flow::default();
    flow.anchor(1);
    let at = flow.position(1);
    flow.keep(at, b"def", 3, Stamp::default());
    flow.start(u32::MAX - 1);
    let at = flow.position(u32::MAX - 1);
    flow.keep(at, b"abc", 3, Stamp::default());
    assert_eq!(drain(&mut flow), b"abcdef");
}

#[test]
fn the_first_copy_wins_and_a_different_second_one_is_told() {
    let mut flow = flow();
    let base = flow.next;
    assert!(!flow.keep(base + 2, b"cd", 2, Stamp::default()));
    assert!(flow.keep(base, b"abXYef", 6, Stamp::default()));
    assert_eq!(drain(&mut flow), b"abcdef");
}

#[test]
fn a_cut_segment_leaves_a_cut_run_until_a_whole_copy_comes() {
    let mut flow = flow();
    let base = flow.next;
    flow.keep(base, b"ab", 5, Stamp::default());
    flow.keep(base, b"abcd", 5, Stamp::default());
    let mut taken = Vec::new();
    while let Some(ready) = flow.take() {
        flow.next += match &ready {
            Ready::Bytes(piece) => piece.length,
            Ready::Cut(length) => *length,
        };
        taken.push(match ready {
            Ready::Bytes(piece) => Ok(piece.bytes),
            Ready::Cut(length) => Err(length),
        });
    }
    assert_eq!(taken, [Ok(b"ab".to_vec()), Ok(b"cd".to_vec()), Err(1)]);
}
