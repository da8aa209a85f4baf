//! One end of a socket between this program and a worker: text, a line at a time.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// The socket between this program and a worker.
#[cfg(unix)]
pub type Stream = std::os::unix::net::UnixStream;
/// Never made: workers need a descriptor that a child inherits.
#[cfg(not(unix))]
pub type Stream = std::net::TcpStream;

/// How long a wait lasts before the caller is asked whether to go on waiting.
const SLICE: Duration = Duration::from_millis(200);
/// Longest line of a worker: what never ends one is no protocol.
const LONGEST_LINE: usize = 16 << 20;

/// Why no line came from the other side.
#[derive(Debug)]
pub enum Silence {
    /// The other side closed its end.
    Closed,
    Late,
    /// The caller did not want to wait any longer.
    Stopped,
    /// Something came that is no line of text.
    Nonsense(String),
}

/// One end of a socket, read and written by lines.
pub struct Channel {
    stream: Stream,
    lines: BufReader<Stream>,
    /// The start of a line whose end has not come.
    begun: Vec<u8>,
    longest_line: usize,
}

impl Channel {
    /// Makes a channel of one end of a socket.
    pub fn new(stream: Stream) -> io::Result<Self> {
        let lines = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, lines, begun: Vec::new(), longest_line: LONGEST_LINE })
    }

    /// Sets how many bytes a line of the other side may have, and how long it may take to read what is sent to it.
    ///
    /// # Errors
    /// A time that cannot be set.
    pub fn limited(self, longest_line: usize, patience: Duration) -> io::Result<Self> {
        self.stream.set_write_timeout(Some(patience))?;
        Ok(Self { longest_line, ..self })
    }

    /// Makes a new socket and returns both ends; neither is inherited by children yet.
    #[cfg(unix)]
    pub fn pair() -> io::Result<(Self, Stream)> {
        let (ours, theirs) = Stream::pair()?;
        Ok((Self::new(ours)?, theirs))
    }

    /// Sends one line.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        self.stream.write_all(line.as_bytes()).and_then(|()| self.stream.flush())
    }

    /// Waits for the next line, for at most `patience`, and as long as `go_on` says so.
    pub fn hear(&mut self, patience: Duration, go_on: impl Fn() -> bool) -> Result<String, Silence> {
        let start = Instant::now();
        loop {
            let left = patience.saturating_sub(start.elapsed());
            if !go_on() {
                return Err(Silence::Stopped);
            }
            if left.is_zero() {
                return Err(Silence::Late);
            }
            // A timeout that cannot be set would make a wait without end.
            self.stream.set_read_timeout(Some(left.min(SLICE))).map_err(|_| Silence::Closed)?;
            match self.read() {
                Ok(0) => return Err(Silence::Closed),
                Ok(_) if self.is_over() => return self.line(),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                Err(_) => return Err(Silence::Closed),
            }
        }
    }

    /// Waits for the next line, however long it takes; `None` when the other side has closed its end.
    pub fn wait(&mut self) -> io::Result<Option<String>> {
        self.stream.set_read_timeout(None)?;
        loop {
            match self.read() {
                Ok(0) => return Ok(None),
                Ok(_) if self.is_over() => {
                    return self.line().map(Some).map_err(|_| io::Error::other("what came is no text"));
                }
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether something waits to be heard, or the other side has closed its end.
    pub fn has_more(&mut self) -> bool {
        if !self.lines.buffer().is_empty() {
            return true;
        }
        if self.stream.set_read_timeout(Some(Duration::from_millis(1))).is_err() {
            return true;
        }
        match self.lines.fill_buf() {
            Ok(_) => true,
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted),
        }
    }

    /// As [`Self::has_more`], at once: a socket's timeout ends with a tick of the system's clock, and what begins with
    /// a tick sees too little of the CPU time that others are charged by ticks.
    pub fn has_more_now(&mut self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let found =
            !self.lines.buffer().is_empty() || !self.lines.fill_buf().is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).is_err() || found
    }

    fn read(&mut self) -> io::Result<usize> {
        let room = (self.longest_line + 1).saturating_sub(self.begun.len()) as u64;
        self.lines.by_ref().take(room).read_until(b'\n', &mut self.begun)
    }

    fn is_over(&self) -> bool {
        self.begun.ends_with(b"\n") || self.begun.len() > self.longest_line
    }

    fn line(&mut self) -> Result<String, Silence> {
        let bytes = std::mem::take(&mut self.begun);
        match String::from_utf8(bytes) {
            Ok(text) if text.ends_with('\n') => Ok(text.trim_end().to_owned()),
            Ok(text) => Err(Silence::Nonsense(text)),
            Err(e) => Err(Silence::Nonsense(String::from_utf8_lossy(e.as_bytes()).into_owned())),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn lines_arrive_whole_or_not_at_all() {
        let (mut ours, mut theirs) = Channel::pair().expect("a socket");
        theirs.write_all(b"first\nsec").expect("written");
        assert_eq!(ours.hear(PATIENCE, || true).expect("a line"), "first");
        assert!(matches!(ours.hear(Duration::from_millis(1), || true), Err(Silence::Late)), "half a line");
        assert!(matches!(ours.hear(PATIENCE, || false), Err(Silence::Stopped)));
        theirs.write_all(b"ond\n\xff\xfe\n").expect("written");
        assert_eq!(ours.hear(PATIENCE, || true).expect("a line"), "second");
        assert!(matches!(ours.hear(PATIENCE, || true), Err(Silence::Nonsense(_))));
        drop(theirs);
        assert!(matches!(ours.hear(PATIENCE, || true), Err(Silence::Closed)));
        assert_eq!(ours.wait().expect("no error"), None);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let (mut ours, mut theirs) = Channel::pair().expect("a socket");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Ends with an error when the reader has gone.
                while theirs.write_all(&[b'x'; 1 << 16]).is_ok() {}
            });
            assert!(matches!(ours.hear(PATIENCE, || true), Err(Silence::Nonsense(_))));
            drop(ours);
        });
    }
}
