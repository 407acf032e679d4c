// The state of the page, and the choices that change it.
'use strict';

const STATE = {
  index: 0,
  step: null,
  layer: null,
  data: null,
  flowValue: 'difference',
  flowLayer: null,
  groups: 'decision',
};

function report() {
  return block('report');
}

function stepsOfGame(game) {
  return report()
    .steps.map((step, index) => ({ step, index }))
    .filter(({ step }) => step.game === game);
}

function gameText(step) {
  return step.game_id + (step.outcome ? ' · ' + step.outcome.replace(/_/g, ' ') : '');
}

function stepText(step) {
  const decision = step.decision === 'bet' && step.bet ? 'bet $' + step.bet : step.decision || step.status;
  const balance =
    step.balance_before === null || step.balance_before === undefined
      ? ''
      : ' · balance $' + step.balance_before;
  return 'step ' + step.step + (decision ? ' · ' + decision : '') + balance;
}

// Goes to a step by its place in the page.
function goTo(index) {
  STATE.index = index;
  STATE.step = report().steps[index];
  STATE.data = readStep(index);
  const layers = Object.keys(STATE.data.layers).map(Number);
  if (!layers.includes(STATE.layer) && layers.length > 0) STATE.layer = layers[layers.length - 1];
  writeChoices();
  showStep(STATE);
  showTrace(STATE);
  showCausal(STATE);
}

function writeChoices() {
  const { steps, layers } = report();
  const games = steps.filter((step, index) => steps.findIndex((other) => other.game === step.game) === index);
  const go = (by) => () => goTo((STATE.index + by + steps.length) % steps.length);
  byId('choices').replaceChildren(
    choice(
      'Game',
      games.map((step) => [step.game, gameText(step)]),
      STATE.step.game,
      (game) => {
        goTo(stepsOfGame(Number(game))[0].index);
      },
    ),
    choice(
      'Step',
      stepsOfGame(STATE.step.game).map(({ step, index }) => [index, stepText(step)]),
      STATE.index,
      (index) => {
        goTo(Number(index));
      },
    ),
    choice(
      'Layer',
      layers.map((layer) => [layer, String(layer)]),
      STATE.layer,
      (layer) => {
        STATE.layer = Number(layer);
        writeChoices();
        showStep(STATE);
        showAll(STATE, report());
      },
    ),
    element('span', { class: 'turn' }, [
      element('button', { type: 'button', 'aria-label': 'Step before', onclick: go(-1) }, '‹'),
      element('button', { type: 'button', 'aria-label': 'Next step', onclick: go(1) }, '›'),
    ]),
  );
  writeStepFacts();
}

function writeStepFacts() {
  const { step } = STATE;
  const facts = [
    ['decision', step.decision || 'none'],
    ['p(bet)', number(step.p_bet)],
    ['p(stop)', number(step.p_stop)],
    ['logit difference', number(step.logit_diff)],
    ['tokens', number(step.n_tokens)],
    ['game', String(step.game)],
  ].filter(([, text]) => text !== '–');
  byId('step-facts').replaceChildren(
    ...facts.map(([name, text]) => element('span', {}, [name + ' ', element('b', {}, text)])),
  );
}

function writeShades() {
  byId('shade').replaceChildren(
    choice(
      'Color by',
      Object.entries(SHADES).map(([name, [text]]) => [name, text]),
      STRIP.shade,
      (name) => {
        STRIP.shade = name;
        writeTokens();
        choose(STRIP.chosen);
      },
    ),
  );
}

function writeFlowChoices() {
  const layers = distinct(answer(report().all.flow).rows, 'layer');
  const which = [['', 'the chosen layer']].concat(
    layers.includes(-1) ? [['-1', 'all layers (rollout)']] : [],
  );
  const again = () => {
    writeFlowChoices();
    showAll(STATE, report());
  };
  byId('flow-choices').replaceChildren(
    choice(
      'Steps',
      [
        ['difference', 'bet minus stop'],
        ['bet', 'before a bet'],
        ['stop', 'before a stop'],
      ],
      STATE.flowValue,
      (value) => {
        STATE.flowValue = value;
        again();
      },
    ),
    choice('Layer', which, STATE.flowLayer === null ? '' : STATE.flowLayer, (layer) => {
      STATE.flowLayer = layer === '' ? null : Number(layer);
      again();
    }),
  );
}

function writeContrastChoices() {
  const names = [
    ['decision', 'steps before a bet and before a stop'],
    ['outcome', 'games that end in bankruptcy and those that stop'],
  ];
  byId('contrast-choices').replaceChildren(
    choice('Groups', names, STATE.groups, (groups) => {
      STATE.groups = groups;
      showAll(STATE, report());
    }),
  );
}

// The theme is kept for the next visit where the browser allows it.
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem('saelake-theme', theme);
  } catch (error) {
    // A browser that keeps nothing shows the system's theme next time.
  }
  byId('theme').value = theme;
  showEverything();
}

function showEverything() {
  showOverview(report());
  if (report().steps.length > 0) goTo(STATE.index);
  showAll(STATE, report());
}

function savedTheme() {
  try {
    return localStorage.getItem('saelake-theme') || 'auto';
  } catch (error) {
    return 'auto';
  }
}

function start() {
  unpack(report().dictionaries).forEach((row) => {
    NEURONPEDIA[row.layer] = row.neuronpedia;
  });
  STATE.layer = report().layers[report().layers.length - 1];
  makePanels();
  byId('lake').textContent = report().lake;
  showLeftOut(report());
  byId('trace-scores').textContent = report().coupled
    ? 'a score is attention times activation times how strongly one feature’s decoder row writes into the other’s encoder row'
    : 'a score is attention times activation, and the couplings of the dictionaries are not known here';
  writeShades();
  writeFlowChoices();
  writeContrastChoices();
  listenToStrip();
  document.body.classList.toggle('no-steps', report().steps.length === 0);
  byId('theme').addEventListener('change', (event) => setTheme(event.target.value));
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showEverything);
  let waiting = 0;
  window.addEventListener('resize', () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      redrawResized();
      if (STRIP.step) drawArcs(STRIP.chosen);
    }, 120);
  });
  setTheme(savedTheme());
}

start();
