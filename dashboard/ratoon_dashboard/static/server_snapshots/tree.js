// Keeps an open picture true: follows the operation under way, and draws anew when the tree has changed. Arrow keys go from row to row.
(function () {
  'use strict';
  if (window.serverSnapshotTree) { return; }  // a tab that is opened twice
  window.serverSnapshotTree = true;
  const LOOK_MS = 2000, REST_MS = 15000;
  let timer = null;

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
    }
  }

  async function draw() {
    const place = tree();
    const focused = document.activeElement && document.activeElement.dataset.id;
    const text = await (await ask(place.dataset.picture)).text();
    const fresh = new DOMParser().parseFromString(text, 'text/html').getElementById('snapshot-tree');
    place.replaceWith(fresh);
    if (focused) {
      const row = fresh.querySelector('li[data-id="' + focused + '"]');
      if (row) { row.focus(); }
    }
  }

  async function look() {
    const place = tree();
    if (!place) { return; }  // another page, or another tab of it
    let next = REST_MS;
    try {
      if (!document.hidden) {
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

  document.addEventListener('keydown', function (event) {
    const row = event.target.closest && event.target.closest('.snapshot-tree-rows li');
    const step = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[event.key];
    if (row && step && row[step]) { row[step].focus(); event.preventDefault(); }
  });

  again(tree() && tree().dataset.operation ? LOOK_MS : REST_MS);
})();
