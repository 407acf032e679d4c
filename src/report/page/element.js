// Elements whose text is set as text and never read as HTML.
'use strict';

// An element with attributes and children; a child that is a text becomes text.
function element(name, attributes, children) {
  const made = document.createElement(name);
  Object.entries(attributes || {}).forEach(([key, value]) => {
    if (value === null || value === undefined || value === false) return;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? '' : value);
  });
  made.append(...[].concat(children === undefined ? [] : children));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

// A token isolated from the direction of what is around it.
function tokenElement(token) {
  return element('bdi', { class: 'token' }, visible(token));
}

// The name of a feature, as a link where it has a page on Neuronpedia.
function featureElement(look, layer, feature) {
  const name = featureName(layer, feature);
  const page = neuronpedia(look, layer, feature);
  if (!page) return element('span', { class: 'feature' }, name);
  return element('a', { href: page, target: '_blank', rel: 'noopener noreferrer', class: 'feature' }, name);
}

// A named choice; `choices` are pairs of a value and its text.
function choice(name, choices, chosen, onchange) {
  const select = element(
    'select',
    { onchange: () => onchange(select.value) },
    choices.map(([value, text]) => {
      return element('option', { value, selected: String(value) === String(chosen) }, text);
    }),
  );
  return element('label', { class: 'choice' }, [element('span', {}, name), select]);
}
