use super::*;

fn enter(places: &Places) -> Option<Place> {
    enter_after(places, false)
}

fn enter_after(places: &Places, has_waited: bool) -> Option<Place> {
    match places.poll_enter(&mut Context::from_waker(Waker::noop()), has_waited) {
        Poll::Ready(place) => Some(place),
        Poll::Pending => None,
    }
}

fn closed<const N: usize>(of: [&Place; N]) -> [bool; N] {
    of.map(|place| place.closed.is_cancelled())
}

/// A call that the service works on.
fn worked_on(place: &Place) -> OpenCall {
    let call = place.caller().begin(false);
    call.received();
    call
}

/// A call whose answer is a stream that waits for news.
fn watch(place: &Place) -> OpenCall {
    let call = worked_on(place);
    call.answered();
    call
}

#[test]
fn t06_the_longest_idle_connection_makes_room_and_one_with_a_call_does_not() {
    let places = Places::new(3);
    let [first, second, third] = [(); 3].map(|()| enter(&places).unwrap());
    let call = watch(&first);
    drop(watch(&second));
    drop(watch(&third));
    assert!(enter(&places).is_none());
    let all = [&first, &second, &third];
    assert_eq!(closed(all), [false, true, false], "the first is busy, the second ended before the third");
    assert!(enter(&places).is_none());
    assert_eq!(closed(all), [false, true, false], "one is enough for one");
    drop(second);
    let fourth = enter(&places).unwrap();
    assert_eq!(places.taken(), 3);

    // A call that ends makes its connection the newest idle one.
    drop(watch(&fourth));
    drop(call);
    drop(watch(&third));
    assert!(enter(&places).is_none());
    assert_eq!(closed([&fourth, &first, &third]), [true, false, false]);
}

#[test]
fn t06_held_watches_keep_nobody_out_and_the_quietest_makes_room() {
    let places = Places::new(3);
    let [first, second, third] = [(); 3].map(|()| enter(&places).unwrap());
    let calls = [&first, &second, &third].map(watch);
    calls[0].moved();
    assert!(enter(&places).is_none());
    assert_eq!(closed([&first, &second, &third]), [false, true, false], "the first has had news since");
}

#[test]
fn t06_calls_that_are_worked_on_are_the_last_to_go_and_the_longest_of_them_after_a_wait() {
    let places = Places::new(2);
    let [first, second] = [(); 2].map(|()| enter(&places).unwrap());
    let calls = [&first, &second].map(worked_on);
    assert!(enter(&places).is_none());
    assert_eq!(closed([&first, &second]), [false, false]);
    calls[1].answered();
    assert!(enter(&places).is_none());
    assert_eq!(closed([&first, &second]), [false, true], "what waits goes before what is worked on");

    let places = Places::new(2);
    let [first, second] = [(); 2].map(|()| enter(&places).unwrap());
    let _calls = [&first, &second].map(worked_on);
    assert!(enter_after(&places, true).is_none());
    assert_eq!(closed([&first, &second]), [true, false]);
}

#[test]
fn t06_a_message_that_does_not_come_protects_nobody() {
    let places = Places::new(1);
    let place = enter(&places).unwrap();
    let _call = place.caller().begin(false);
    assert!(enter(&places).is_none());
    assert_eq!(closed([&place]), [true]);
}

#[test]
fn t06_a_new_connection_is_not_closed_for_the_next_one_while_others_hold_theirs() {
    let places = Places::new(2);
    let [first, second] = [(); 2].map(|()| enter(&places).unwrap());
    let _held = watch(&first);
    assert!(enter(&places).is_none());
    assert_eq!(closed([&first, &second]), [false, true], "it came before the first began its call");

    let places = Places::new(2);
    let first = enter(&places).unwrap();
    let _held = watch(&first);
    let second = enter(&places).unwrap();
    assert!(enter(&places).is_none());
    assert_eq!(closed([&first, &second]), [true, false], "it has had no time for a call");
}

#[test]
fn t06_a_connection_with_a_client_stream_is_never_closed_for_another() {
    let places = Places::new(1);
    let place = enter(&places).unwrap();
    let stream = place.caller().begin(true);
    assert!(enter_after(&places, true).is_none());
    assert_eq!(closed([&place]), [false]);
    drop(stream);
    assert!(enter(&places).is_none());
    assert_eq!(closed([&place]), [true]);
}

#[test]
fn whoever_waits_is_woken_when_a_connection_becomes_worth_less() {
    struct Woken(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(std::sync::atomic::AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let places = Places::new(1);
    let place = enter(&places).unwrap();
    let call = worked_on(&place);
    let poll = || places.poll_enter(&mut Context::from_waker(&waker), false);
    assert!(poll().is_pending());
    call.answered();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(poll().is_pending());
    assert_eq!(closed([&place]), [true]);
    drop((call, place));
    assert!(poll().is_ready());
}
