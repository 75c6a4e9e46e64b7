//! From the stored state to a ledger that can go on, or to a typed stop.

use std::sync::Arc;

use metanode_shell::durable::{Store, StoreError, StoreOptions, WriteBatch, WriteError};
use reference_ledger::{Ledger, Position};
use sequencer_core::Incarnation;

use super::{
    CACHE_BYTES, EmbeddedBackend,
    records::{self, GenesisRecord, StateRecord},
};
use crate::backend::{BackendError, Loaded};

/// A ledger as it was stored.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Arc<Store>,
    pub(super) ledger: Ledger,
    pub(super) incarnation: Incarnation,
    pub(super) loaded: Loaded,
}

/// Opens the database; writes genesis into a new one; checks that an old one is of this network and authority, and that its
/// accounts hash to the stored root. Blocks.
pub(super) fn load(settings: &EmbeddedBackend) -> Result<State, BackendError> {
    let options = StoreOptions { cache_bytes: CACHE_BYTES, ..StoreOptions::default() };
    let store = Store::open(&settings.path, &options)?;
    let genesis = Ledger::genesis(settings.chain_id, settings.accounts.iter().copied())?;
    let record = GenesisRecord { chain_id: settings.chain_id, state_root: genesis.state_root() };
    let ledger = match GenesisRecord::read(&store)? {
        None => {
            write_genesis(&store, &record, &genesis)?;
            genesis
        }
        Some(stored) => {
            check_genesis(&stored, &record)?;
            drop(genesis);
            restore(settings, &store)?
        }
    };
    let lease = records::read_lease(&store)?;
    if let Some(lease) = lease
        && lease.authority != settings.authority
    {
        let (stored, configured) = (lease.authority, settings.authority);
        return Err(BackendError::OtherAuthority { stored, configured });
    }
    let incarnation = lease.map_or(Incarnation(0), |lease| lease.incarnation);
    let Position { index, digest, .. } = ledger.position();
    let loaded = Loaded {
        executed: sequencer_core::Position { index, digest: sequencer_core::Digest(digest.0) },
        state_root: Some(sequencer_core::Digest(ledger.state_root().0)),
        authority: lease.map(|lease| lease.authority),
        incarnation,
        epoch: records::read_epoch(&store)?.map_or(0, |record| record.epoch),
    };
    Ok(State { store: Arc::new(store), ledger, incarnation, loaded })
}

/// One batch: a ledger has its whole genesis or none.
fn write_genesis(store: &Store, record: &GenesisRecord, ledger: &Ledger) -> Result<(), BackendError> {
    let mut batch = WriteBatch::default();
    record.put(&mut batch);
    StateRecord { position: Position::GENESIS, state_root: record.state_root }.put(&mut batch);
    for (key, account) in ledger.accounts() {
        records::put_account(&mut batch, key, account);
    }
    let failed = |source: StoreError| WriteError::Failed { source: Arc::new(source) };
    store.apply(&batch).map_err(failed)?;
    store.sync().map_err(failed)?;
    Ok(())
}

fn check_genesis(stored: &GenesisRecord, configured: &GenesisRecord) -> Result<(), BackendError> {
    if stored.chain_id != configured.chain_id {
        let (stored, configured) = (stored.chain_id.to_string(), configured.chain_id.to_string());
        return Err(BackendError::OtherChain { stored, configured });
    }
    if stored.state_root != configured.state_root {
        let (stored, configured) = (stored.state_root.to_string(), configured.state_root.to_string());
        return Err(BackendError::OtherGenesis { stored, configured });
    }
    Ok(())
}

fn restore(settings: &EmbeddedBackend, store: &Store) -> Result<Ledger, BackendError> {
    let missing = || BackendError::Form { key: "m|state".to_owned() };
    let state = StateRecord::read(store)?.ok_or_else(missing)?;
    let accounts = records::accounts(store).collect::<Result<Vec<_>, _>>()?;
    let ledger = Ledger::restore(settings.chain_id, state.position, accounts);
    let computed = ledger.state_root();
    if computed != state.state_root {
        let (stored, computed) = (state.state_root.to_string(), computed.to_string());
        return Err(BackendError::OtherRoot { index: state.position.index, stored, computed });
    }
    Ok(ledger)
}
