//! The engine with both sinks behind it, and what must hold whatever comes.

use std::{cell::RefCell, io, rc::Rc};

use observer::{
    engine::{
        Config, Engine,
        demand::{Activity, Control},
        frame::{ClockId, Frame, InterfaceId, LinkType},
        time::Timestamp,
    },
    sink::{self, Emit, Ending, Options, Sink},
    tap::SharedInterfaces,
};

/// What the engine may hold, and what one frame may add before it is looked at.
const LIMIT: usize = 2 << 20;
const SLACK: usize = 2 << 20;
/// The longest line of the feed.
const LINE: usize = 16 << 10;

/// What sinks write to.
#[derive(Clone, Default)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An engine under watch.
pub(super) struct Judge {
    engine: Engine,
    number: u64,
    json: (Page, Box<dyn Sink>),
    text: (Page, Box<dyn Sink>),
}

impl Judge {
    pub(super) fn new(interfaces: SharedInterfaces) -> Self {
        let options = Options { emit: Emit::ALL, interfaces, ..Options::default() };
        let (json, text) = (Page::default(), Page::default());
        Self {
            engine: Engine::new(Config { memory_limit: LIMIT, demanding: true, ..Config::default() }),
            number: 0,
            json: (json.clone(), sink::json(Box::new(json), options.clone())),
            text: (text.clone(), sink::text_at(Box::new(text), options, 100)),
        }
    }

    /// A frame of IP alone.
    pub(super) fn raw(&mut self, at: Timestamp, bytes: &[u8]) {
        self.bytes(LinkType::Raw, at, bytes, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }

    pub(super) fn bytes(&mut self, link: LinkType, at: Timestamp, bytes: &[u8], wire_length: u32) {
        let number = self.number + 1;
        let (interface, clock) = (InterfaceId(0), ClockId(0));
        self.frame(&Frame { at, number, interface, clock, link, wire_length, bytes });
    }

    pub(super) fn frame(&mut self, frame: &Frame<'_>) {
        self.number += 1;
        self.engine.handle_frame(frame);
        self.listen();
    }

    pub(super) fn lose(&mut self, at: Timestamp) {
        self.engine.handle_loss(1, at, at);
    }

    pub(super) fn activity(&mut self, activity: &Activity) {
        self.engine.handle_activity(activity);
        self.listen();
    }

    pub(super) fn control(&mut self, control: &Control<'_>) {
        self.engine.handle_control(control);
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.json.1.event(&event).expect("memory can be written");
            self.text.1.event(&event).expect("memory can be written");
        }
        while self.engine.poll_demand().is_some() || self.engine.poll_owner().is_some() {}
    }

    /// The end: holds what was said to what may be said.
    pub(super) fn finish(mut self) {
        let memory = self.engine.stats().memory;
        assert!(memory <= (LIMIT + SLACK) as u64, "{memory} bytes are held");
        self.engine.finish();
        self.listen();
        self.json.1.finish(&Ending::default()).expect("memory can be written");
        self.text.1.finish(&Ending::default()).expect("memory can be written");
        for line in self.json.0.0.borrow().split_inclusive(|byte| *byte == b'\n') {
            assert!(line.len() < LINE, "a line of {} bytes", line.len());
            let known: serde_json::Value = serde_json::from_slice(line).expect("each line is a record");
            assert!(known["event"]["dataset"].is_string());
        }
        for page in [&self.json.0.0, &self.text.0.0] {
            let page = page.borrow();
            let text = str::from_utf8(&page).expect("what is told is UTF-8");
            let harm = text.chars().find(|c| *c != '\n' && (c.is_control() || turns_or_hides(*c)));
            assert_eq!(harm, None, "is shown");
        }
    }
}

/// Marks that turn the direction of text, and what cannot be seen.
fn turns_or_hides(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{ad}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}
