// Keeps an open picture true: follows the operation under way, and draws anew when the tree has changed. Arrow keys, Home and End go from row to row.
(function () {
  'use strict';
  if (window.serverSnapshotTree) { return; }  // a tab that is opened twice
  window.serverSnapshotTree = true;
  const LOOK_MS = 2000, REST_MS = 15000;
  const AWAY_MS = 10 * 60 * 1000;  // each look lengthens the session: who is away shall be logged out
  let timer = null, lastSign = Date.now();

  function tree() { return document.getElementById('snapshot-tree'); }

  function again(after) {
    window.clearTimeout(timer);
    timer = window.setTimeout(look, after);
  }

  async function ask(url) {
    const answer = await fetch(url, { credentials: 'same-origin', headers: { 'X-Requested-With': 'XMLHttpRequest' } });
    if (!answer.ok || answer.redirected) { throw new Error(String(answer.status)); }
    return answer;
  }

  function show(operation) {
    const place = tree().querySelector('.snapshot-tree-operation');
    place.hidden = !operation;
    if (operation) {
      place.querySelector('progress').max = operation.total || 1;
      place.querySelector('progress').value = operation.done || 0;
      place.querySelector('.snapshot-tree-phase').textContent = operation.words;
      const cancel = place.querySelector('.snapshot-tree-cancel');
      if (cancel) { cancel.hidden = !operation.cancellable; }
    }
  }

  async function draw() {
    const place = tree();
    const text = await (await ask(place.dataset.picture)).text();
    const fresh = new DOMParser().parseFromString(text, 'text/html').getElementById('snapshot-tree');
    const focused = way(place, document.activeElement);
    // The same element stays: a screen reader announces what changes in it.
    const [told, tells] = [place, fresh].map(function (one) { return one.querySelector('.snapshot-tree-operation'); });
    told.innerHTML = tells.innerHTML;
    told.hidden = tells.hidden;
    tells.replaceWith(told);
    place.replaceWith(fresh);
    const again = focused && fresh.querySelector(focused);
    if (again) { again.focus(); }
  }

  // How to find the same thing in the next picture.
  function way(place, element) {
    if (!element || !place.contains(element)) { return null; }
    if (element.getAttribute('href')) { return '[href="' + element.getAttribute('href') + '"]'; }
    return element.dataset.id ? 'li[data-id="' + element.dataset.id + '"]' : element.classList.contains('here') ? 'li.here' : null;
  }

  async function look() {
    const place = tree();
    if (!place) { return; }  // another page, or another tab of it
    let next = REST_MS;
    try {
      if (!document.hidden && (place.dataset.operation || Date.now() - lastSign < AWAY_MS)) {
        const state = await (await ask(place.dataset.state)).json();
        const operation = state.operation ? state.operation.id : '';
        if (String(state.generation) !== place.dataset.generation || operation !== place.dataset.operation) { await draw(); }
        show(state.operation);
        if (state.operation) { next = LOOK_MS; }
      }
    } catch (error) {
      next = REST_MS;  // the session has ended, or the service is away: the page stays as it is
    }
    again(next);
  }

  ['keydown', 'pointerdown', 'pointermove', 'focusin'].forEach(function (sign) {
    document.addEventListener(sign, function () { lastSign = Date.now(); }, { passive: true });
  });

  document.addEventListener('keydown', function (event) {
    const row = event.target.closest && event.target.closest('.snapshot-tree-rows li');
    const next = row && { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling,
      Home: row.parentElement.firstElementChild, End: row.parentElement.lastElementChild }[event.key];
    if (next) { next.focus(); event.preventDefault(); }
  });

  again(tree() && tree().dataset.operation ? LOOK_MS : REST_MS);
})();
