use crate::{
    answer::Partial,
    case::Skip,
    grpc::Grpc,
    http::{Encoding, Http},
    sample::Signal,
};

/// Bytes of a MiB.
pub const MIB: usize = 1024 * 1024;

/// The receiver under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// URL of OTLP over gRPC, such as `http://127.0.0.1:4317`.
    pub grpc: Option<String>,
    /// URL of OTLP over HTTP without a path, such as `http://127.0.0.1:4318`.
    pub http: Option<String>,
    /// Limit of a request in bytes, as configured in the receiver.
    pub limit: usize,
}

impl Target {
    /// The limit that the specification recommends: 64 MiB.
    pub const LIMIT: usize = 64 * MIB;

    pub(crate) fn grpc(&self) -> Result<Grpc, Skip> {
        let url = self.grpc.as_deref();
        url.map(Grpc::new).ok_or(Skip("no gRPC URL"))
    }

    pub(crate) fn http(&self) -> Result<Http, Skip> {
        let url = self.http.as_deref();
        url.map(Http::new).ok_or(Skip("no HTTP URL"))
    }

    /// Sends a request in protobuf, over gRPC if the target has it.
    pub(crate) async fn export(
        &self,
        signal: Signal,
        request: Vec<u8>,
    ) -> anyhow::Result<Option<Partial>> {
        if self.grpc.is_some() {
            return self.grpc()?.export(signal, &request).await?.success();
        }
        let (client, encoding) = (self.http()?, Encoding::Protobuf);
        let answer = client.post(signal, encoding, request).await?;
        answer.success(signal, encoding)
    }
}
