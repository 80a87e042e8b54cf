//! `--metrics`: what a scraper is told. One connection at a time, on a thread of its own, in the classic text format;
//! nothing that comes in but the first line is looked at.

mod board;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

pub(super) use self::board::Board;

/// The longest request head.
const HEAD: usize = 4096;
/// How long one connection may take, to be read and to be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// A port that is open, and what is to be told there.
pub(super) struct Endpoint {
    listener: TcpListener,
    board: Arc<Board>,
}

impl Endpoint {
    /// Takes the port: before the fence, behind which there are no new ones.
    pub(super) fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| {
            format!("cannot listen on --metrics {address}; choose an address of this host and a port that is free")
        })?;
        Ok(Self { listener, board: Arc::default() })
    }

    /// What to tell.
    pub(super) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Answers from now on.
    pub(super) fn start(self) -> anyhow::Result<()> {
        let serve = move || {
            let registry = self.board.registry();
            loop {
                match self.listener.accept() {
                    // What goes wrong with a scraper is the scraper's matter.
                    Ok((stream, _)) => drop(answer(&stream, || board::text(&registry))),
                    // Out of descriptors, perhaps: not in circles.
                    Err(_) => thread::sleep(PATIENCE),
                }
            }
        };
        thread::Builder::new().name("metrics".to_owned()).spawn(serve).context("cannot start the metrics")?;
        Ok(())
    }
}

/// One request, one response, and the end.
fn answer(stream: &TcpStream, text: impl FnOnce() -> String) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = head(stream)?;
    let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let (status, body) = match line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] {
        [b"GET", b"/metrics", b"HTTP/1.1" | b"HTTP/1.0"] => ("200 OK", text()),
        [b"GET", ..] => ("404 Not Found", "there is only /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "there is only GET\n".to_owned()),
    };
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {length}\r\n\
         Allow: GET\r\nConnection: close\r\n\r\n{body}"
    );
    { stream }.write_all(response.as_bytes())
}

/// The head, to its empty line. Who sends byte by byte has no more time than others.
fn head(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let end = now() + PATIENCE;
    let (mut head, mut piece) = (Vec::new(), [0; 512]);
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let left = end.saturating_duration_since(now());
        if left.is_zero() || head.len() > HEAD {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match { stream }.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    Ok(head)
}

#[expect(clippy::disallowed_methods, reason = "a scraper's patience is no capture time")]
fn now() -> Instant {
    Instant::now()
}
