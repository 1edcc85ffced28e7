import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Monitor } from '../server/monitor';
import type { IOffer, IStatus } from '../server/protocol';
import { licenceOf } from './notices';
import { nameOf } from './sentences';

const BUILT_IN = 'santa-mini';
/** What only a model on the hub is called: owner/name. */
const HUB_ID = /^[\w.-]+\/[\w.-]+$/;

/** What a model takes: download, memory, licence. */
export function Needs({
  model,
  status,
  trans
}: {
  model: string;
  status: IStatus;
  trans: TranslationBundle;
}): JSX.Element {
  const offer = status.models?.find(offer => offer.model === model);
  return (
    <p className="santa-Needs">
      {offer && sizes(offer, trans)} <Licence model={model} trans={trans} />
    </p>
  );
}

/** Where the model that answers is good for lines alone: one that writes more, at a click. */
export function Larger({
  status,
  monitor,
  trans
}: {
  status: IStatus;
  monitor: Monitor;
  trans: TranslationBundle;
}): JSX.Element | null {
  const offer = status.models?.find(({ blocks }) => blocks);
  if (status.blocks !== false || !offer) {
    return null;
  }
  const small = nameOf(status, status.serving ?? status.model);
  const larger = nameOf(status, offer.model);
  return (
    <section className="santa-Larger">
      <p>
        {trans.__(
          '%1 completes the rest of a line. For functions, documentation and code from comments there is %2.',
          small,
          larger
        )}
      </p>
      <Needs model={offer.model} status={status} trans={trans} />
      <button
        className="jp-mod-styled jp-mod-accept"
        onClick={() => void monitor.load(offer.model)}
      >
        {trans.__('Use %1', larger)}
      </button>
    </section>
  );
}

/** A model's licence, or where to read of it. */
export function Licence({
  model,
  trans
}: {
  model: string;
  trans: TranslationBundle;
}): JSX.Element {
  const licence = licenceOf(model);
  if (licence) {
    return (
      <>
        {trans.__('%1 licence, which restricts some uses:', licence.name)}{' '}
        <Link to={licence.terms}>{trans.__('read the restrictions')}</Link>.
      </>
    );
  }
  if (model === BUILT_IN) {
    return <>{trans.__('BSD 3-clause licence, as this extension.')}</>;
  }
  const said = trans.__('Its model card has the licence.');
  return HUB_ID.test(model) ? (
    <Link to={`https://huggingface.co/${model}`}>{said}</Link>
  ) : (
    <>{said}</>
  );
}

function Link({
  to,
  children
}: {
  to: string;
  children: React.ReactNode;
}): JSX.Element {
  return (
    <a href={to} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}

/** A number of bytes in GB, without the unit. */
export function gigabytes(bytes: number): string {
  return String(Number((bytes / 1e9).toFixed(2)));
}

function sizes({ download, memory }: IOffer, trans: TranslationBundle): string {
  const said = [
    download === 0 && trans.__('Built in.'),
    !!download && trans.__('%1 GB to download once.', gigabytes(download)),
    !!memory && trans.__('About %1 GB of memory.', gigabytes(memory))
  ];
  return said.filter(Boolean).join(' ');
}
