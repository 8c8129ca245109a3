//! The services of a process.
//!
//! A process is one service, unless it runs several, as `otelix` does. Then each runs in a scope of its own. The
//! exporters give its spans, metrics and log records a resource with its name.

use std::borrow::Cow;

use opentelemetry::{Context, ContextGuard, KeyValue, StringValue, context::FutureExt as _};

/// A service of this process, or the process itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Service(Option<&'static str>);

impl Service {
    /// The service with this `service.name`.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self(Some(name))
    }

    /// The service in whose scope the current code runs; the process if there is no scope.
    #[must_use]
    pub fn current() -> Self {
        Context::map_current(Self::of).unwrap_or_default()
    }

    /// Runs work in the scope of this service, and outside of any span.
    pub async fn run<T>(self, work: impl Future<Output = T>) -> T {
        work.with_context(self.within(Context::new())).await
    }

    /// Makes this the current service until the guard is dropped, for callbacks and threads.
    #[must_use = "the scope ends when the guard is dropped"]
    pub fn enter(self) -> ContextGuard {
        self.within(Context::current()).attach()
    }

    /// The service of a context.
    pub(crate) fn of(context: &Context) -> Option<Self> {
        context.get().copied()
    }

    /// This context in the scope of its own service or, if it has none, of the current one.
    pub(crate) fn adopt(context: &Context) -> Cow<'_, Context> {
        match (Self::of(context), Self::current().0) {
            (None, Some(name)) => Cow::Owned(Self(Some(name)).within(context.clone())),
            _ => Cow::Borrowed(context),
        }
    }

    /// This context in the scope of this service. The context of the process is not changed, since it has none.
    pub(crate) fn within(self, context: Context) -> Context {
        match self.0 {
            Some(_) => context.with_value(self),
            None => context,
        }
    }

    /// The `service.name`, unless it is that of the process.
    pub(crate) fn name(self) -> Option<&'static str> {
        self.0
    }

    /// An attribute with the name, which tells the exporters the service of an item of the SDK.
    pub(crate) fn mark(self) -> Option<KeyValue> {
        let name = self.0?;
        Some(KeyValue::new(MARK, StringValue::from(name)))
    }
}

/// The name of the attribute of [`Service::mark`], which is never exported.
pub(crate) const MARK: &str = "otelix.service";

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Service = Service::named("user");

    #[tokio::test]
    async fn a_scope_reaches_spawned_work_and_ends_with_its_future() {
        let seen = USER.run(async {
            let blocking = crate::spawn_blocking(Service::current).await;
            let task = crate::spawn(async { Service::current() }).await;
            [Service::current(), blocking, task]
        });
        assert_eq!(seen.await, [USER; 3]);
        assert_eq!(Service::current(), Service::default());
    }

    #[test]
    fn a_guard_ends_a_scope() {
        let guard = USER.enter();
        assert_eq!(Service::current(), USER);
        drop(guard);
        assert_eq!(Service::current(), Service::default());
    }
}
