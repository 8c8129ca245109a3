//! Clients whose bytes are no request.

use std::{
    error::Error,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The first byte of a TLS connection: a record with a handshake. No request of HTTP begins with it.
const HANDSHAKE: u8 = 0x16;

/// Why the bytes of a client are no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The client speaks TLS.
    Tls,
    /// The client speaks neither TLS nor HTTP.
    Protocol,
    /// The request has too many headers, or too large ones.
    Head,
}

impl Fault {
    /// The fault behind the error of a connection, if the client made one.
    pub(crate) fn of(error: &(dyn Error + 'static), first: &First) -> Option<Self> {
        let error = error.downcast_ref::<hyper::Error>()?;
        if error.is_parse_too_large() {
            Some(Self::Head)
        } else if !error.is_parse() {
            None
        } else if first.0.load(Ordering::Relaxed) == HANDSHAKE {
            Some(Self::Tls)
        } else {
            Some(Self::Protocol)
        }
    }
}

/// The first byte of a connection, or 0 before it arrives.
#[derive(Clone, Debug, Default)]
pub(crate) struct First(Arc<AtomicU8>);

/// A connection that keeps its first byte, because the error of hyper does not tell TLS from other protocols.
#[derive(Debug)]
pub(crate) struct Stream {
    inner: TcpStream,
    first: Option<First>,
}

impl Stream {
    pub(crate) fn new(inner: TcpStream, first: First) -> Self {
        let first = Some(first);
        Self { inner, first }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if let Some(byte) = buffer.filled().get(start)
            && let Some(first) = self.first.take()
        {
            first.0.store(*byte, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
