//! Where the output goes, whether in colour, and whether anybody still reads it.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, LineWriter, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anstream::AutoStream;
use anyhow::Context;
use clap::ColorChoice;

#[cfg(feature = "pcap")]
use super::{
    fence,
    queue::{Lines, Queue},
};
use crate::{
    cli::Format,
    config::Report,
    sink::{self, Options, Sink},
    tap::{SharedInterfaces, file::Input},
};

/// Opens outputs, and remembers whether one of them broke.
#[derive(Clone, Default)]
pub(super) struct Output {
    broken: Arc<AtomicBool>,
}

impl Output {
    /// The sink that was asked for; with `prompt`, each line is written at once.
    pub(super) fn sink(
        &self,
        report: &Report,
        colors: ColorChoice,
        interfaces: &SharedInterfaces,
        prompt: bool,
    ) -> anyhow::Result<Box<dyn Sink>> {
        let out = match &report.output {
            Some(path) => self.file(path, prompt)?,
            None => self.stdout(prompt),
        };
        let options = options(report, colors, interfaces);
        Ok(match report.format {
            Format::Text => sink::text(out, options),
            Format::Json => sink::json(out, options),
        })
    }

    /// A queue before the output that was asked for: its reader is never waited for.
    #[cfg(feature = "pcap")]
    pub(super) fn queue(
        &self,
        live: &crate::config::Live,
        colors: ColorChoice,
        interfaces: &SharedInterfaces,
    ) -> anyhow::Result<Queue> {
        let (report, broken) = (&live.report, Arc::clone(&self.broken));
        let lines = match &report.output {
            Some(path) => Lines::append(path, &fence::target_user(&live.fence)?, broken)?,
            None => Lines::stdout(broken)?,
        };
        Ok(Queue::new(lines, live, options(report, colors, interfaces)))
    }

    /// Standard output; with `prompt`, or on a terminal, each line is written at once.
    pub(super) fn stdout(&self, prompt: bool) -> Box<dyn Write + Send> {
        let watched = Watched { inner: io::stdout(), broken: Arc::clone(&self.broken) };
        if prompt || is_terminal() {
            Box::new(LineWriter::new(watched))
        } else {
            Box::new(BufWriter::with_capacity(64 << 10, watched))
        }
    }

    /// A file; what it held is lost.
    pub(super) fn file(&self, path: &Path, prompt: bool) -> anyhow::Result<Box<dyn Write + Send>> {
        let label = Input::Path(path.to_owned()).label();
        let file = File::create(path).with_context(|| format!("cannot create --output {label}"))?;
        let watched = Watched { inner: file, broken: Arc::clone(&self.broken) };
        Ok(if prompt {
            Box::new(LineWriter::new(watched))
        } else {
            Box::new(BufWriter::with_capacity(64 << 10, watched))
        })
    }

    /// Whether the reader of an output went away.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

fn options(report: &Report, colors: ColorChoice, interfaces: &SharedInterfaces) -> Options {
    Options {
        emit: report.emit,
        show_secrets: report.show_secrets,
        color: color(colors, report.output.as_deref()),
        interfaces: interfaces.clone(),
    }
}

/// Whether a person sees standard output.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether to write in colour to standard output, or to a file.
pub(super) fn color(choice: ColorChoice, file: Option<&Path>) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => file.is_none() && AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
    }
}

/// Notes a broken pipe, whatever the layers above make of the error.
struct Watched<W> {
    inner: W,
    broken: Arc<AtomicBool>,
}

impl<W> Watched<W> {
    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            self.broken.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(bytes);
        self.watch(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.watch(result)
    }
}
