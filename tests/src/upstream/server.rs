//! A thread that listens, and one for each connection.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use socket2::SockRef;

use super::lock;

/// Accepts connections until dropped, which closes those that are open.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    listener: Arc<TcpListener>,
    open: Arc<Open>,
    thread: Option<JoinHandle<()>>,
}

/// Handles of the open connections, to close them with; none once the server has stopped.
type Open = Mutex<Option<BTreeMap<u64, TcpStream>>>;

/// A port of the kernel's choice on loopback.
pub(crate) fn loopback() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).expect("a free port")
}

// === impl Server ===

impl Server {
    /// Calls `serve` with each connection and closes it afterwards.
    pub(crate) fn start(
        listener: TcpListener,
        serve: impl Fn(TcpStream) + Clone + Send + Sync + 'static,
    ) -> Self {
        let addr = listener.local_addr().expect("the port");
        let (listener, open) = (Arc::new(listener), Arc::new(Mutex::new(Some(BTreeMap::new()))));
        let (source, handles) = (Arc::clone(&listener), Arc::clone(&open));
        let thread = thread::spawn(move || {
            for (id, stream) in (0..).zip(source.incoming().map_while(Result::ok)) {
                let _ = stream.set_nodelay(true);
                let Some(all) = &mut *lock(&handles) else { return };
                all.extend(stream.try_clone().map(|handle| (id, handle)));
                let (handles, serve) = (Arc::clone(&handles), serve.clone());
                thread::spawn(move || {
                    serve(stream);
                    let handle = lock(&handles).as_mut().and_then(|all| all.remove(&id));
                    handle.map(|handle| handle.shutdown(Shutdown::Both))
                });
            }
        });
        Self { addr, listener, open, thread: Some(thread) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let open = lock(&self.open).take();
        // Linux then refuses connections and wakes the thread that accepts them.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        let _ = self.thread.take().map(JoinHandle::join);
        for stream in open.into_iter().flat_map(BTreeMap::into_values) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
