import { ack, type Protocol } from '@numalab/protocols';

/** `ack` whose nodes stop the run if they forget what they declared durable, or remember what they did not. */
const remembers: Protocol = {
  ...ack,
  node() {
    const half = ack.node();
    let isNew = true;
    return {
      onMessage(context, body) {
        const { number } = body as { readonly number: number };
        const last = context.durable.get('last') as { readonly number: number } | undefined;
        if (number > 1 && last === undefined)
          throw new Error(`node ${context.node} does not know what came before ${number}`);
        if (last !== undefined && last.number >= number) throw new Error(`write ${number} came after ${last.number}`);
        if (context.durable.has('gone')) throw new Error('what was deleted is there again');
        if (isNew) context.durable.set('gone', true);
        context.durable.delete('gone');
        context.durable.set('last', { number });
        isNew = false;
        return half.onMessage(context, body);
      },
    };
  },
};

export default remembers;
