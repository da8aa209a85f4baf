//! What a worker hears and says.

use super::channel::Channel;
use super::protocol::{Reply, Request};
use crate::error::{Error, Result};

/// The next request; none when the parent has gone.
pub fn next(channel: &mut Channel) -> Result<Option<Request>> {
    let line = channel.wait().map_err(|e| Error::failed(format!("cannot hear the parent: {e}")))?;
    let Some(line) = line else { return Ok(None) };
    match serde_json::from_str(&line) {
        Ok(request) => Ok(Some(request)),
        Err(e) => {
            let unknown = Error::unsupported(format!("it is asked for something that this build does not know: {e}"));
            say(channel, &error(&unknown))?;
            Err(unknown)
        }
    }
}

pub fn say(channel: &mut Channel, reply: &Reply) -> Result<()> {
    let said = channel.say(&json(reply)?);
    said.map_err(|e| Error::failed(format!("cannot answer the parent: {e}")))
}

/// An answer as a line.
pub fn json(reply: &Reply) -> Result<String> {
    serde_json::to_string(reply).map_err(|e| Error::failed(format!("cannot write an answer: {e}")))
}

pub fn error(error: &Error) -> Reply {
    Reply::Error { exit: error.exit() as u8, message: error.to_string() }
}
