//! The first pass over several captures: how their clocks stand to each other. What can be read only once is left out.

use super::{read::TICK, signals::Stop};
use crate::{
    config::Read,
    engine::clocks::{Clocks, Survey},
    tap::file::{FileTap, Turn},
};

/// What is known of the clocks of these captures; nothing of a single one. `goes_on` is called every `TICK` frames with
/// the bytes read so far and the size of all; `false` ends the pass. Errors in reading are reported by the second pass.
pub(super) fn clocks(read: &Read, stop: &Stop, goes_on: impl FnMut(u64, Option<u64>) -> bool) -> Clocks {
    if read.inputs.len() < 2 {
        return Clocks::default();
    }
    let mut survey = Survey::new(read.engine.clone());
    let files = read.inputs.iter().filter(|input| !input.is_pipe()).count();
    for (place, input) in read.inputs.iter().enumerate() {
        if files < 2 || input.is_pipe() {
            survey.leave_out(FileTap::first_clock(place));
        }
    }
    if files >= 2 {
        look(read, stop, &mut survey, goes_on);
    }
    survey.finish()
}

fn look(read: &Read, stop: &Stop, survey: &mut Survey, mut goes_on: impl FnMut(u64, Option<u64>) -> bool) {
    let (mut tap, _) = FileTap::open_files(&read.inputs, stop.flag());
    let mut until_tick = TICK;
    while !stop.is_set() {
        match tap.next_turn() {
            Ok(Turn::Frame(frame)) => survey.handle_frame(&frame),
            Ok(Turn::Head(head)) => {
                if !survey.pass_frame(&head)
                    && let Ok(Some(frame)) = tap.whole()
                {
                    survey.handle_frame(&frame);
                }
            }
            Ok(Turn::Quiet) | Err(_) => {}
            Ok(Turn::End) => break,
        }
        until_tick -= 1;
        if until_tick == 0 {
            until_tick = TICK;
            let (read, size) = tap.progress();
            if !goes_on(read, size) {
                break;
            }
        }
    }
}
