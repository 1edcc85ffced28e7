import { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect, ReactWidget } from '@jupyterlab/ui-components';
import type { ISignal } from '@lumino/signaling';
import React from 'react';

import { copy } from '../commands/clipboard';
import type { IStatus } from '../server/protocol';
import type { Figures, ICount } from './figures';
import type { Monitor } from '../server/monitor';
import { gigabytes, Larger, Licence, Needs } from './larger';
import { licenceOf, SANTACODER } from './notices';
import {
  awaySentence,
  nameOf,
  otherServing,
  percent,
  stateLabel,
  statusSentence
} from './sentences';
import type { Settings } from '../settings';

/** What the panel shows and changes. */
export interface IPanelParts {
  monitor: Monitor;
  settings: Settings;
  figures: Figures;
  trans: TranslationBundle;
  /** Gives the focus to the document that the user works in. */
  focusDocument: () => void;
}

/** What opens the panel, unless it is open; resolves when it is there. */
export function panelOpener(parts: IPanelParts): () => Promise<void> {
  let panel: Panel | null = null;
  return () => {
    if (!panel || panel.isDisposed) {
      panel = new Panel(parts);
      parts.monitor.isWatched = true;
      void panel.launch().then(() => {
        parts.monitor.isWatched = false;
        // The command palette, which had it before, is gone too.
        if (document.activeElement === document.body) {
          parts.focusDocument();
        }
      });
    }
    return panel.ready;
  };
}

/**
 * The model, what it does and what becomes of its suggestions. A dialog, because
 * that looks and works the same where there is no status bar.
 */
class Panel extends Dialog<unknown> {
  constructor(parts: IPanelParts) {
    const { trans } = parts;
    super({
      title: trans.__('Code Completion Model'),
      body: ReactWidget.create(<Body {...parts} />),
      buttons: [Dialog.cancelButton({ label: trans.__('Close') })],
      focusNodeSelector: 'select'
    });
    this.addClass('santa-Panel');
    this.node.ariaLabel = trans.__('Code Completion Model');
  }

  /**
   * Enter means what it means outside dialogs: there is nothing here to submit. Tab goes from the last
   * control to the first, which JupyterLab looks for before there is a body.
   */
  override handleEvent(event: Event): void {
    const { key, shiftKey } = event as KeyboardEvent;
    const isIn = (part: string) =>
      event.type === 'keydown' &&
      event.target instanceof Element &&
      event.target.closest(part) !== null;
    if (key === 'Tab' && !shiftKey && isIn('.jp-Dialog-footer')) {
      event.preventDefault();
      event.stopPropagation();
      this.node.querySelector<HTMLElement>('select, input')?.focus();
    } else if (!(key === 'Enter' && isIn('.santa-Body'))) {
      super.handleEvent(event);
    }
  }
}

function Body(parts: IPanelParts): JSX.Element {
  const { monitor, settings, figures, trans } = parts;
  useSignal(monitor.stateChanged);
  useSignal(settings.changed);
  useSignal(figures.changed);
  const { status } = monitor;
  return (
    <div className="santa-Body">
      {status ? (
        <Model status={status} monitor={monitor} trans={trans} />
      ) : (
        <p role="status">{awaySentence(monitor, trans)}</p>
      )}
      <Switches settings={settings} trans={trans} />
      {status && <Details status={status} trans={trans} />}
      <Suggestions figures={figures} trans={trans} />
      <Origin status={status} figures={figures} trans={trans} />
    </div>
  );
}

/** The state, and the models to choose from. */
function Model({
  status,
  monitor,
  trans
}: {
  status: IStatus;
  monitor: Monitor;
  trans: TranslationBundle;
}): JSX.Element {
  const [choice, choose] = React.useState<string | null>(null);
  const { model, progress } = status;
  const chosen = choice ?? model;
  const isOff = ['unloaded', 'error'].includes(status.state);
  // One button, so that the focus stays when what it does changes.
  const change = async () => {
    if (chosen === model && !isOff) {
      await monitor.unload();
    } else {
      await monitor.load(chosen === model ? undefined : chosen);
    }
  };
  return (
    <section>
      <p role="status">{statusSentence(status, trans)}</p>
      {progress?.total ? (
        <div className="santa-Row">
          <progress
            aria-label={stateLabel(status, trans)}
            value={progress.done}
            max={progress.total}
          />
          {trans.__(
            '%1 of %2 GB',
            gigabytes(progress.done),
            gigabytes(progress.total)
          )}
        </div>
      ) : null}
      <label htmlFor="santa-model">{trans.__('Model')}</label>
      <div className="santa-Row">
        <HTMLSelect
          id="santa-model"
          value={chosen}
          options={[...new Set([model, ...status.allowed_models])]}
          onChange={event => choose(event.target.value)}
        />
        <button
          className="jp-mod-styled jp-mod-accept"
          onClick={() => void change()}
        >
          {chosen !== model
            ? trans.__('Switch')
            : isOff
              ? trans.__('Load')
              : trans.__('Unload')}
        </button>
      </div>
      <Needs model={chosen} status={status} trans={trans} />
      <p role="alert" className="santa-Refusal">
        {monitor.refusal && trans.__('The server refused: %1', monitor.refusal)}
      </p>
      <Larger status={status} monitor={monitor} trans={trans} />
    </section>
  );
}

function Switches({
  settings,
  trans
}: {
  settings: Settings;
  trans: TranslationBundle;
}): JSX.Element {
  const { enabled, automatic } = settings.choices;
  return (
    <section>
      <label>
        <input
          type="checkbox"
          checked={enabled}
          onChange={() => void settings.set('enabled', !enabled)}
        />
        {trans.__('Suggest code')}
      </label>
      <label>
        <input
          type="checkbox"
          checked={automatic}
          onChange={() => void settings.set('automatic', !automatic)}
        />
        {trans.__('Suggest while typing')}
      </label>
    </section>
  );
}

function Details({
  status,
  trans
}: {
  status: IStatus;
  trans: TranslationBundle;
}): JSX.Element {
  const { prompt_tokens, cached_tokens, latency_ms } = status.stats;
  const rows: [string, string | number | null | false][] = [
    [trans.__('State'), stateLabel(status, trans)],
    [trans.__('Answers now'), nameOf(status, otherServing(status))],
    [trans.__('Device'), status.device],
    [trans.__('Precision'), status.dtype],
    [trans.__('Context window'), status.window],
    [
      trans.__('Main memory'),
      status.memory && trans.__('%1 MB', Math.round(status.memory / 1e6))
    ],
    [
      trans.__('Latency (p50, p95)'),
      latency_ms.p50 !== undefined &&
        trans.__(
          '%1 ms, %2 ms',
          Math.round(latency_ms.p50),
          Math.round(latency_ms.p95 ?? 0)
        )
    ],
    [
      trans.__('From prompt cache'),
      prompt_tokens > 0 &&
        trans.__('%1 % of tokens', percent(cached_tokens, prompt_tokens))
    ],
    [trans.__('Version'), status.version]
  ];
  return (
    <dl>
      {rows
        .filter(([, value]) => value)
        .map(([name, value]) => (
          <React.Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </React.Fragment>
        ))}
    </dl>
  );
}

/** How many suggestions were shown and accepted. */
function Suggestions({
  figures,
  trans
}: {
  figures: Figures;
  trans: TranslationBundle;
}): JSX.Element {
  const { shown, accepted } = figures.total;
  return (
    <section>
      <h3>{trans.__('Suggestions since this page was opened')}</h3>
      <p className="santa-Legend">
        <span className="santa-mod-shown">
          {trans._n('%1 shown', '%1 shown', shown)}
        </span>
        <span className="santa-mod-accepted">
          {shown > 0
            ? trans._n(
                '%1 accepted (%2 %)',
                '%1 accepted (%2 %)',
                accepted,
                percent(accepted, shown)
              )
            : trans._n('%1 accepted', '%1 accepted', accepted)}
        </span>
      </p>
      <Chart counts={figures.recent} trans={trans} />
    </section>
  );
}

const BAR = 20;
const HEIGHT = 40;

/** The last hour, five minutes a bar: what was shown, and of it what was accepted. */
function Chart({
  counts,
  trans
}: {
  counts: ICount[];
  trans: TranslationBundle;
}): JSX.Element {
  const most = Math.max(
    1,
    ...counts.map(({ shown, accepted }) => Math.max(shown, accepted))
  );
  const bar = (className: string, count: number, i: number) => {
    const height = (HEIGHT * count) / most;
    return (
      <rect
        className={className}
        x={i * BAR + 2}
        y={HEIGHT - height}
        width={BAR - 4}
        height={height}
      />
    );
  };
  const told = counts
    .map(({ shown, accepted }) => trans.__('%1 of %2', accepted, shown))
    .join(', ');
  return (
    <figure>
      <svg
        role="img"
        aria-label={trans.__(
          'Accepted of those shown, in each five minutes of the last hour: %1',
          told
        )}
        preserveAspectRatio="none"
        viewBox={`0 -1 ${BAR * counts.length} ${HEIGHT + 2}`}
      >
        {counts.map(({ shown, accepted }, i) => (
          <g key={i}>
            {bar('santa-mod-shown', shown, i)}
            {bar('santa-mod-accepted', accepted, i)}
          </g>
        ))}
        <line x1="0" x2={BAR * counts.length} y1={HEIGHT} y2={HEIGHT} />
      </svg>
      <figcaption>{trans.__('The last hour, five minutes a bar')}</figcaption>
    </figure>
  );
}

/** Under what licence the model is, and how to find where a text may come from. */
function Origin({
  status,
  figures,
  trans
}: {
  status: IStatus | null;
  figures: Figures;
  trans: TranslationBundle;
}): JSX.Element {
  const model = status?.model ?? '';
  const name = nameOf(status ?? {}, model);
  const licence = licenceOf(model);
  return (
    <section>
      <h3>{trans.__('Licence and origin')}</h3>
      {!model ? null : licence ? (
        <p>
          {trans.__(
            '%1 is under the %2 licence, which restricts some uses.',
            name,
            licence.name
          )}{' '}
          <a href={licence.terms} target="_blank" rel="noopener noreferrer">
            {trans.__('Read the restrictions')}
          </a>
        </p>
      ) : (
        <p>
          {name}: <Licence model={model} trans={trans} />
        </p>
      )}
      <p>
        {trans.__(
          'What a model writes is machine-generated, may be wrong or insecure, and may repeat its training code word for word, which can carry a licence of its own.'
        )}
      </p>
      <Search
        page={(licence ?? SANTACODER).search}
        text={figures.lastAccepted}
        trans={trans}
      />
    </section>
  );
}

/** Asks before it copies the text and opens BigCode's page, which takes no text in its address. */
function Search({
  page,
  text,
  trans
}: {
  page: string;
  text: string;
  trans: TranslationBundle;
}): JSX.Element {
  const [isAsking, ask] = React.useState(false);
  const [isCopied, setCopied] = React.useState(true);
  if (!text) {
    return (
      <p>
        {trans.__(
          "Once you have accepted a suggestion, you can look for it in BigCode's training data here."
        )}
      </p>
    );
  }
  const open = async () => {
    const copied = await copy(text);
    setCopied(copied);
    if (copied) {
      window.open(page, '_blank', 'noopener');
    }
  };
  return (
    <>
      <button
        className="jp-mod-styled jp-mod-reject"
        aria-expanded={isAsking}
        onClick={() => ask(!isAsking)}
      >
        {trans.__('Look for the last accepted text in training data…')}
      </button>
      {isAsking && (
        <div className="santa-Search">
          <pre tabIndex={0} aria-label={trans.__('The last accepted text')}>
            {text}
          </pre>
          <p>
            {trans.__(
              'This copies the text and opens %1. Nothing is sent there until you paste it into that page, which is not on your computer.',
              page
            )}
          </p>
          <button
            className="jp-mod-styled jp-mod-accept"
            onClick={() => void open()}
          >
            {trans.__('Copy and open')}
          </button>
          <p role="alert">
            {!isCopied &&
              trans.__(
                'The browser allows no copying here: select the text and copy it yourself, then open %1.',
                page
              )}
          </p>
        </div>
      )}
    </>
  );
}

function useSignal<S, A>(signal: ISignal<S, A>): void {
  const [, redraw] = React.useReducer((times: number) => times + 1, 0);
  React.useEffect(() => {
    signal.connect(redraw);
    return () => {
      signal.disconnect(redraw);
    };
  }, [signal]);
}
