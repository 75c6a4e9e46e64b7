use futures::FutureExt;
use sequencer_core::{Authority, ChainId};
use tokio::pin;

use super::*;

const OPENING: Opening = Opening {
    chain_id: ChainId([1; 32]),
    authority: Authority([2; 32]),
    incarnation: 0,
    after: Position::GENESIS,
};

#[tokio::test]
async fn an_opening_that_waits_for_the_driver_gives_up_when_its_client_goes() {
    let (requests, mut driver) = mpsc::channel(1);
    let (outbound, _first_client) = mpsc::channel(1);
    assert!(hand_over(&requests, OPENING, mpsc::channel(1).1, outbound).await);
    // The driver is busy and takes nothing: the second opening waits for room.
    let (outbound, client) = mpsc::channel(1);
    {
        let waiting = hand_over(&requests, OPENING, mpsc::channel(1).1, outbound);
        pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(client);
        assert!(!waiting.await);
    }
    assert!(driver.try_recv().is_ok());
    assert!(driver.try_recv().is_err(), "only the first was handed over");
}

#[tokio::test]
async fn an_opening_that_meets_a_driver_that_has_ended_is_told() {
    let (requests, driver) = mpsc::channel(1);
    drop(driver);
    let (outbound, mut client) = mpsc::channel(1);
    assert!(!hand_over(&requests, OPENING, mpsc::channel(1).1, outbound).await);
    assert_eq!(client.recv().await.unwrap().unwrap_err().code(), Code::Unavailable);
}
