//! Streams: a provider's events, as they come, in OpenAI's chunks.
//!
//! A state machine: bytes in, however they are cut, and whole events out; nothing waits for more than its own event. It
//! holds one event and names, never the text.

mod pieces;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::Dialect;
use super::fault::Fault;
use super::reply::{Finish, Usage, Words};
use super::sse::Splitter;

pub(crate) use pieces::{Piece, Pieces};

/// A stream under translation.
pub(crate) struct Translator {
    words: Words,
    splitter: Splitter,
    pieces: Pieces,
    id: String,
    usage: Usage,
    begun: bool,
    finish: Option<Finish>,
    ended: bool,
}

// === impl Translator ===

impl Translator {
    pub(crate) fn new(dialect: Dialect, words: Words) -> Self {
        Self {
            words,
            splitter: Splitter::default(),
            pieces: Pieces::new(dialect),
            id: String::new(),
            usage: Usage::default(),
            begun: false,
            finish: None,
            ended: false,
        }
    }

    /// Takes more of the provider's bytes and gives what is to be sent now; often nothing.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Bytes {
        let (mut events, mut out) = (Vec::new(), BytesMut::new());
        let fits = self.splitter.feed(bytes, |event| events.push(event));
        for event in events {
            for piece in self.pieces.of(&event.data) {
                self.piece(piece, &mut out);
            }
        }
        if fits.is_err() {
            self.fail(&Fault::broken("the provider sent an event that is too large"), &mut out);
        }
        out.freeze()
    }

    /// The provider's stream is at its end.
    pub(crate) fn end(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        match self.finish {
            Some(_) => self.done(&mut out),
            None => self.fail(&Fault::broken("the provider's answer broke off"), &mut out),
        }
        out.freeze()
    }

    /// The provider's stream broke off.
    pub(crate) fn broke(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        self.fail(&Fault::broken("the provider's answer broke off"), &mut out);
        out.freeze()
    }

    /// Whether nothing more comes of it.
    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    fn piece(&mut self, piece: Piece, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match piece {
            Piece::Start(id) => self.id = id,
            Piece::Text(text) => {
                self.begin(out);
                self.chunk(&json!({ "content": text }), None, out);
            }
            Piece::Call { index, call } => {
                self.begin(out);
                let mut written = call.to_openai();
                written["index"] = index.into();
                self.chunk(&json!({ "tool_calls": [written] }), None, out);
            }
            Piece::Arguments { index, text } => {
                let written = json!({ "index": index, "function": { "arguments": text } });
                self.chunk(&json!({ "tool_calls": [written] }), None, out);
            }
            Piece::Usage(usage) => self.usage = usage,
            Piece::Finish(finish) => {
                self.begin(out);
                if self.finish.is_none() {
                    self.finish = Some(finish);
                    self.chunk(&json!({}), Some(finish), out);
                }
            }
            Piece::Done => self.done(out),
            Piece::Fault(fault) => self.fail(&fault, out),
        }
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.begun, true) {
            self.chunk(&json!({ "role": "assistant", "content": "" }), None, out);
        }
    }

    fn chunk(&self, delta: &Value, finish: Option<Finish>, out: &mut BytesMut) {
        self.send(
            &json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]),
            None,
            out,
        );
    }

    fn send(&self, choices: &Value, usage: Option<Usage>, out: &mut BytesMut) {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.words.created, "model": self.words.model,
            "choices": choices,
        });
        if self.words.include_usage {
            chunk["usage"] = usage.map_or(Value::Null, Usage::to_openai);
        }
        event(&chunk, out);
    }

    fn done(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if self.words.include_usage {
            self.send(&json!([]), Some(self.usage), out);
        }
        out.put_slice(b"data: [DONE]\n\n");
    }

    fn fail(&mut self, fault: &Fault, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.ended, true) {
            event(&fault.to_openai(), out);
        }
    }
}

fn event(data: &Value, out: &mut BytesMut) {
    out.put_slice(b"data: ");
    out.put_slice(data.to_string().as_bytes());
    out.put_slice(b"\n\n");
}

/// What the beginning of a stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// An answer.
    Content,
    /// Trouble, before there was an answer. With the data of its event.
    Fault(Fault, String),
}

/// Looks at the beginning of a stream, before any of it goes to the caller.
pub(crate) struct Scout {
    splitter: Splitter,
    pieces: Pieces,
    /// Events so far.
    pub(crate) events: usize,
}

impl Scout {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { splitter: Splitter::default(), pieces: Pieces::new(dialect), events: 0 }
    }

    /// Takes more bytes; says what they tell as soon as they tell anything.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Beginning> {
        let mut events = Vec::new();
        let fits = self.splitter.feed(bytes, |event| events.push(event));
        self.events += events.len();
        for event in events {
            for piece in self.pieces.of(&event.data) {
                match piece {
                    Piece::Start(_) | Piece::Usage(_) => {}
                    Piece::Fault(fault) => return Some(Beginning::Fault(fault, event.data)),
                    _ => return Some(Beginning::Content),
                }
            }
        }
        fits.is_err().then_some(Beginning::Content)
    }
}
